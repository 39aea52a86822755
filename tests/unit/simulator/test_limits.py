"""A vendor's own rate: so many in any second, whatever was refused meanwhile."""

from simulator.limits import RateLimit


def test_so_many_are_taken_in_any_second() -> None:
    """A second that straddles two is one too; what was refused takes no room."""
    limit = RateLimit(2)
    moments = (0.0, 0.9, 0.95, 0.999, 1.0, 1.5, 1.9, 2.0, 2.0)
    assert [moment for moment in moments if limit.admits(moment)] == [0.0, 0.9, 1.0, 1.9, 2.0]
