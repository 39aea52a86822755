"""Up to where the feed may tell, whoever is writing."""

from __future__ import annotations

import pytest

from api.feed.settled import Settled
from store.read.feed import Look

# Each look: what was drawn, who was writing; and what is settled by then.
STORIES = {
    "nobody writes": [(3, "", 3), (5, "", 5)],
    "one writes and ends": [(3, "a", 0), (3, "", 3)],
    "it goes on when another is there": [(3, "a", 0), (4, "b", 3), (5, "c", 4)],
    "the longest writer holds it up": [(3, "a", 0), (4, "ab", 0), (9, "a", 0), (9, "", 9)],
    "who came later holds up only what was drawn later": [
        (3, "a", 0), (4, "ab", 0), (5, "b", 3), (6, "b", 3), (6, "c", 6),
    ],
}  # fmt: skip


@pytest.mark.parametrize("story", STORIES)
def test_what_is_settled_follows_the_writers(story: str) -> None:
    """A position is settled once all have ended who wrote when it had been drawn."""
    settled = Settled()
    for at, (drawn, writers, expected) in enumerate(STORIES[story]):
        settled.look(Look(drawn, frozenset(writers), "h"), at)
        assert settled.position == expected, story


def test_how_far_behind_it_is_is_the_age_of_what_is_settled() -> None:
    """While one writes it grows; then it is as old as the look that is settled."""
    settled = Settled()
    settled.look(Look(1, frozenset(), "h"), 10.0)
    settled.look(Look(2, frozenset("a"), "h"), 11.0)
    settled.look(Look(3, frozenset("a"), "h"), 12.0)
    assert settled.at == 10.0
    settled.look(Look(4, frozenset("b"), "h"), 13.0)
    assert (settled.position, settled.at) == (3, 12.0)


def test_a_long_writer_costs_a_bounded_room() -> None:
    """Some moments are left out meanwhile, and what is settled in the end is right."""
    settled = Settled()
    for drawn in range(10_000):
        settled.look(Look(drawn, frozenset("a"), "h"), drawn)
    assert settled.position == 0
    settled.look(Look(10_000, frozenset(), "h"), 10_000)
    assert settled.position == 10_000
