"""How many calls a provider is asked at once, whatever it answers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agents.provider_work.concurrency_limit import ConcurrencyLimit
from payments.outcome import Declined, Retriable, Succeeded, Unknown
from providers.gateway import Trouble

OK = Succeeded("pi_1")
LIMITED = Retriable(Trouble.RATE_LIMITED, "too many requests")
OUTCOMES = (OK, LIMITED, Declined("card_declined", ""), Unknown("no_answer", ""))


def answered(pace: ConcurrencyLimit, outcome: object, times: int = 1) -> None:
    """Each call begins, ends so, and is one of as many as are allowed."""
    for _ in range(times):
        number = pace.begins()
        assert isinstance(outcome, Succeeded | Retriable | Declined | Unknown)
        pace.heard(number, outcome, in_flight=pace.allowed, now=0.0)


@given(st.integers(1, 2000), st.lists(st.sampled_from(OUTCOMES), max_size=200))
def test_it_is_never_none_and_never_more_than_allowed(
    at_most: int, outcomes: list[Succeeded | Retriable | Declined | Unknown]
) -> None:
    """Whatever the provider answers."""
    pace = ConcurrencyLimit(at_most)
    for outcome in outcomes:
        answered(pace, outcome)
        assert 1 <= pace.allowed <= at_most


def test_while_it_goes_well_each_success_allows_one_more() -> None:
    """A thousand successes after the beginning, a thousand at once."""
    pace = ConcurrencyLimit(1024)
    answered(pace, OK, 1024)
    assert pace.allowed == 1024


def test_who_is_not_busy_learns_nothing() -> None:
    """That one call at a time succeeds does not say that more would."""
    pace = ConcurrencyLimit(1024)
    before = pace.allowed
    for _ in range(100):
        pace.heard(pace.begins(), OK, in_flight=1, now=0.0)
    assert pace.allowed == before


def limited(at_most: int) -> ConcurrencyLimit:
    """One that has met the provider's limit with 64 calls at once."""
    pace = ConcurrencyLimit(at_most)
    numbers = [pace.begins() for _ in range(64)]
    for number in numbers:
        pace.heard(number, LIMITED, in_flight=64, now=0.0)
    return pace


def test_a_round_of_refusals_halves_it_once() -> None:
    """All that had begun meet the same limit; only one that begins later meets a new one."""
    pace = limited(64)
    assert pace.allowed == 32
    answered(pace, LIMITED)
    assert pace.allowed == 16


def test_once_limited_it_grows_by_one_a_round() -> None:
    """Thirty-three successes allow one more."""
    pace = limited(64)
    answered(pace, OK, 33)
    assert pace.allowed == 33


def test_a_few_that_are_limited_slow_nobody_down() -> None:
    """One in five is tried again by itself, and the others go on."""
    pace = ConcurrencyLimit(1024)
    for _ in range(300):
        answered(pace, LIMITED)
        answered(pace, OK, 4)
    assert pace.allowed == 1024
    assert pace.rests_until < 0


def test_it_recovers_once_the_provider_does() -> None:
    """A limit that has gone is forgotten: a few limited calls mean nothing again."""
    pace = limited(64)
    answered(pace, OK, 1000)
    answered(pace, LIMITED)
    assert pace.allowed > 40


def test_all_rest_for_as_long_as_the_provider_asks() -> None:
    """A quarter of a second unless it says otherwise, and no more than half a minute."""
    pace = limited(64)
    for wished_s, rests_until in ((None, 100.25), (7.0, 107.0), (3600.0, 130.0), (0.0, 130.0)):
        refused = Retriable(Trouble.RATE_LIMITED, "", wished_s)
        pace.heard(pace.begins(), refused, in_flight=1, now=100.0)
        assert pace.rests_until == rests_until
