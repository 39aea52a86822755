"""Waiting times double, are capped, spread by at most a quarter, and never shrink."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from payments.progress import Policy, Progress, backoff, inquiry_delay
from payments.record import replace

counts = st.integers(0, 1_000_000)
seconds = st.floats(0.001, 86_400)
jitters = st.floats(0, 1, exclude_max=True)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_the_default_waits_are_the_documented_ones() -> None:
    """1 s, 2, 4, 8, 16, then 30 for ever, without jitter."""
    policy = Policy()
    waits = [
        backoff(count, policy.retry_delay_s, policy.retry_delay_max_s, 0).total_seconds()
        for count in range(8)
    ]
    assert waits == [1, 2, 4, 8, 16, 30, 30, 30]
    assert policy.max_retries == 4


@given(counts, seconds, seconds, jitters)
def test_a_wait_is_within_its_bounds(
    count: int, delay_s: float, delay_max_s: float, jitter: float
) -> None:
    """Never shorter than the doubled delay or its cap, never more than a quarter longer."""
    shortest = min(delay_s * 2.0 ** min(count, 30), delay_max_s)
    wait = backoff(count, delay_s, delay_max_s, jitter).total_seconds()
    # A timedelta is exact to the microsecond.
    assert shortest - 1e-6 <= wait <= shortest * 1.25 + 1e-6


@given(seconds, seconds)
def test_waits_never_shrink(delay_s: float, delay_max_s: float) -> None:
    """A later failure waits at least as long as an earlier one with the same luck."""
    waits = [backoff(count, delay_s, delay_max_s, 0.5) for count in range(60)]
    assert all(earlier <= later for earlier, later in pairwise(waits))


def test_an_unknown_outcome_is_asked_after_for_hours() -> None:
    """Twenty questions with the default policy span more than an hour, five minutes apart."""
    policy = Policy()
    waits = [
        inquiry_delay(Progress(4, NOW, inquiry_count=count), policy, 0)
        for count in range(policy.max_inquiries)
    ]
    assert waits[-1] == timedelta(minutes=5)
    assert sum(waits, timedelta()) > timedelta(hours=1)


def test_each_step_says_who_holds_it_and_when_to_look() -> None:
    """Leased, waiting, retrying, inquiring, settled: exactly one counter moves at each."""
    lease, later = UUID(int=1), NOW + timedelta(seconds=5)
    start = Progress(max_retries=1, due_at=NOW)
    leased = start.leased(lease, NOW, later)
    held = Progress(1, later, lease, attempt_count=1, first_asked_at=NOW)
    assert leased == held
    free = replace(held, lease_id=None, due_at=NOW)
    assert leased.waiting(NOW) == free
    assert leased.retrying(NOW) == replace(free, retry_count=1)
    assert leased.inquiring(NOW) == replace(free, inquiry_count=1)
    assert leased.settled() == replace(free, due_at=None)
    assert leased.waiting(NOW).leased(lease, later, later).first_asked_at == NOW
    assert leased.unasked().first_asked_at is None
    assert not leased.exhausted
    assert leased.retrying(NOW).exhausted
