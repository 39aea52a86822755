"""Keys that were seen are known, as long as it is promised; others are not."""

from __future__ import annotations

from api.idempotency.recent_keys import RecentKeys


def test_a_key_is_known_from_the_second_time_on() -> None:
    """To its own tenant alone."""
    recent = RecentKeys()
    assert [recent.seen("acme", "k") for _ in range(3)] == [False, True, True]
    assert not recent.seen("other", "k")


def test_as_many_as_it_promises_are_known_and_no_more_than_twice_as_many() -> None:
    recent = RecentKeys(keys_max=10)
    for number in range(20):
        recent.seen("acme", str(number))
    assert all(recent.seen("acme", str(number)) for number in range(10, 20))
    assert not any(recent.seen("acme", str(number)) for number in range(10))
