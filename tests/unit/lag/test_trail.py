"""The last half hour in parts: the worst of each, gaps where nothing was known."""

from __future__ import annotations

from typing import Final

from lag.trail import _NAMES_MAX, PART_SECONDS, PARTS, Trail

CHARGE: Final = ("payments-charge", "payments.charges")
REFUND: Final = ("payments-refund", "payments.refunds")


def test_of_a_part_the_worst_is_kept() -> None:
    """A peak of two seconds is not lost between two that were calm."""
    trail = Trail()
    for at, behind in ((0.0, 1), (2.0, 70), (4.0, 3), (PART_SECONDS, 2)):
        trail.add([(CHARGE, behind)], at)
    assert trail.until(PART_SECONDS)[CHARGE][-2:] == [70, 2]


def test_what_is_not_known_is_a_gap_and_no_zero() -> None:
    """Where nobody answered, or said that it is unknown; and before it began."""
    trail = Trail()
    trail.add([(CHARGE, 5), (REFUND, None)], 0.0)
    trail.add([(CHARGE, None)], PART_SECONDS)
    trail.add([(CHARGE, 7)], 2 * PART_SECONDS)
    told = trail.until(2 * PART_SECONDS)
    assert told == {CHARGE: [*[None] * (PARTS - 3), 5, None, 7]}


def test_what_is_older_than_half_an_hour_is_forgotten() -> None:
    """And whoever has nothing since."""
    trail = Trail()
    trail.add([(CHARGE, 5), (REFUND, 6)], 0.0)
    trail.add([(CHARGE, 1)], PARTS * PART_SECONDS)
    told = trail.until(PARTS * PART_SECONDS)
    assert told == {CHARGE: [*[None] * (PARTS - 1), 1]}


def test_a_multitude_of_names_fills_no_memory() -> None:
    """The latest are remembered."""
    trail = Trail()
    for number in range(_NAMES_MAX + 10):
        trail.add([((f"group {number}", "t"), 1)], number * 0.01 * PART_SECONDS)
    told = trail.until(_NAMES_MAX * 0.01 * PART_SECONDS)
    assert len(told) == _NAMES_MAX
    assert (f"group {_NAMES_MAX + 9}", "t") in told
