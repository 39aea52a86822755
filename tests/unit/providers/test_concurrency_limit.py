"""How many calls a provider is asked at once, whatever it answers."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from payments.outcome import Declined, Retriable, Succeeded, Unknown
from providers.concurrency_limit import ConcurrencyLimit
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
    for wished_s, rests_until in ((None, 1.25), (7.0, 8.0), (3600.0, 31.0), (0.0, 31.0)):
        refused = Retriable(Trouble.RATE_LIMITED, "", wished_s)
        pace.heard(pace.begins(), refused, in_flight=1, now=1.0)
        assert pace.rests_until == rests_until


def test_a_quota_that_is_used_up_is_asked_after_by_one_call_less_and_less_often() -> None:
    """Seconds of refusals and nothing else: a limit by the second would have let some through."""
    pace = ConcurrencyLimit(1024)
    asked_at = [0.0, 1.0]
    for now in asked_at:
        pace.heard(pace.begins(), LIMITED, in_flight=1, now=now)
    assert (pace.is_limited, pace.allowed) == (False, 64)
    now = 2.0
    while now < 120.0:
        pace.heard(pace.begins(), LIMITED, in_flight=1, now=now)
        assert (pace.is_limited, pace.allowed) == (True, 1)
        asked_at.append(now)
        now = pace.rests_until
    pauses = [after - before for before, after in pairwise(asked_at[2:])]
    assert pauses == sorted(pauses)
    assert max(pauses) == 15.0
    assert len(asked_at) < 20
    pace.heard(pace.begins(), OK, in_flight=1, now=now)
    assert (pace.is_limited, pace.allowed) == (False, 64)


def test_a_limit_by_the_second_is_no_quota_that_is_used_up() -> None:
    """However many are refused, the first of the next second is not."""
    pace = ConcurrencyLimit(64)
    for second in range(10):
        pace.heard(pace.begins(), OK, in_flight=1, now=second)
        for _ in range(200):
            pace.heard(pace.begins(), LIMITED, in_flight=1, now=second + 0.9)
    assert pace.rests_until < 11.0


def test_want_of_connections_beside_those_there_are_bounds_the_calls_at_once() -> None:
    """Out of sockets at so many: with fewer there are enough."""
    pace = ConcurrencyLimit(1024)
    not_sent = Retriable(Trouble.NOT_SENT, "no connection: too many open files")
    for _ in range(200):
        answered(pace, OK)
        answered(pace, not_sent)
    assert pace.allowed < 64
