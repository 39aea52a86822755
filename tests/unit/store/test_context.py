"""What decisions see of the world: one moment each, which their ids are of."""

from __future__ import annotations

from payments.progress import Policy
from store.write.context import live

_MS = 1_000_000


def test_ids_are_of_the_moment_of_the_decision() -> None:
    """A process that stands still between its look at the clock and its ids ages none of them."""
    clock_ns = 1_700_000_000_000 * _MS
    decide = live(Policy(), clock_ns=lambda: clock_ns)
    at = decide()
    clock_ns += 5_000 * _MS
    late = [at.new_id() for _ in range(100)]
    assert {each.int >> 80 for each in late} == {1_700_000_000_000}
    assert int(at.now.timestamp() * 1000) == 1_700_000_000_000
    assert late == sorted(late)
    assert late[-1] < decide().new_id()
