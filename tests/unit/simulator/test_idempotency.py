"""Keys: free, held, bound, and free again when the vendor's window has passed."""

import pytest

from simulator.entries import Entry
from simulator.idempotency import Claim, Kept, Keys
from tests.support.simulator.spills import FEWEST, spill

_DAY_S = 24 * 3600.0


def _entry(at: float, *, keeps_key: bool = True) -> Entry:
    return Entry(
        seq=1, at=at, vendor="stripe", operation="charge", method="POST", path="/v1",
        request_id="req_1", status=200, outcome="ok", key="key", fingerprint="f",
        keeps_key=keeps_key,
    )  # fmt: skip


@pytest.fixture
def keys() -> Keys:
    return Keys(lambda _: _DAY_S, spill(FEWEST), {})


def test_a_key_is_held_until_it_is_released(keys: Keys) -> None:
    """A racing twin is told; after a release without an answer the key is free again."""
    assert keys.claim("key", 0.0) is Claim.FRESH
    assert keys.claim("key", 0.0) is Claim.IN_USE
    assert keys.claim("other", 0.0) is Claim.FRESH
    keys.release("key")
    assert keys.claim("key", 1.0) is Claim.FRESH


def test_an_answer_that_is_not_kept_leaves_the_key_free(keys: Keys) -> None:
    """Parameter errors and rate limits."""
    keys.apply("key", _entry(0.0, keeps_key=False))
    assert keys.claim("key", 0.0) is Claim.FRESH


def test_a_bound_key_is_forgotten_after_its_window(keys: Keys) -> None:
    """To the second before it is replayed; then it is a new key."""
    keys.apply("key", _entry(100.0))
    assert isinstance(keys.claim("key", 99.0 + _DAY_S), Kept)
    assert keys.claim("key", 100.0 + _DAY_S) is Claim.FRESH
