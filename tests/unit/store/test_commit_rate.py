"""The rate of commits: of batches that others waited behind, whatever came before."""

from __future__ import annotations

import pytest

from store.write.commit_rate import CommitRate


def test_it_comes_near_to_what_is_committed_while_others_wait() -> None:
    rate = CommitRate()
    for number in range(30):
        rate.learn(200, float(number), waiting=500)
    assert rate.per_second == pytest.approx(200, rel=0.05)
    for number in range(30):
        rate.learn(100, 30.0 + number / 10, waiting=500)
    assert rate.per_second == pytest.approx(1000, rel=0.05)


def test_batches_that_end_beside_each_other_count_together() -> None:
    rate = CommitRate()
    for number in range(30):
        rate.learn(256, float(number), waiting=500)
        rate.learn(256, number + 0.1, waiting=500)
    assert rate.per_second == pytest.approx(512, rel=0.2)


@pytest.mark.parametrize("waiting", [0, 5, 63])
def test_few_who_come_slowly_say_nothing_of_what_is_possible(waiting: int) -> None:
    rate = CommitRate()
    for number in range(30):
        rate.learn(10, float(number), waiting=waiting)
    assert rate.per_second == 1000


def test_what_was_not_committed_says_nothing() -> None:
    """All of it was set aside: neither fast nor slow."""
    rate = CommitRate()
    for number in range(30):
        rate.learn(0, float(number), waiting=500)
    assert rate.per_second == 1000


def test_what_is_set_aside_in_between_makes_the_others_no_faster() -> None:
    rate = CommitRate()
    for number in range(30):
        rate.learn(200, float(number), waiting=500)
        rate.learn(0, number + 0.9, waiting=500)
    assert rate.per_second == pytest.approx(200, rel=0.05)


def test_an_outage_is_not_counted() -> None:
    rate = CommitRate()
    rate.learn(1000, 0.0, waiting=500)
    rate.interrupt()
    rate.learn(1000, 600.0, waiting=500)
    rate.learn(1000, 601.0, waiting=500)
    assert rate.per_second == pytest.approx(1000)
