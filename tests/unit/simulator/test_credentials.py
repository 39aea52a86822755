"""Keys: known by digest, ended by a roll, and no more than that after a restart."""

import pytest

from simulator.credentials import Credentials, KeyRoll, Standing
from simulator.dashboard import RollKey

_AT = 1000.0


def _rolled(credentials: Credentials, key: str | None, overlap_s: float) -> None:
    action = RollKey(vendor="stripe", key=key, overlap_seconds=overlap_s)
    for record in credentials.roll(action, _AT).writes:
        assert isinstance(record, KeyRoll)
        credentials.apply(record)


@pytest.mark.parametrize(
    ("admitted", "key", "expected"),
    [
        ((), "anything", Standing.VALID),
        (("*",), "anything", Standing.VALID),
        (("first", "second"), "second", Standing.VALID),
        (("first",), "second", Standing.UNKNOWN),
    ],
)
def test_what_is_configured_is_taken(
    admitted: tuple[str, ...], key: str, expected: Standing
) -> None:
    """Without any, everybody's key is."""
    credentials = Credentials()
    credentials.admit(admitted)
    assert credentials.standing(key, _AT) is expected


@pytest.mark.parametrize(("overlap_s", "after_s", "expected"), [
    (0.0, 0.0, Standing.EXPIRED),
    (60.0, 59.0, Standing.VALID),
    (60.0, 60.0, Standing.EXPIRED),
])  # fmt: skip
def test_a_rolled_key_ends_after_the_overlap(
    overlap_s: float, after_s: float, expected: Standing
) -> None:
    """The one that follows is taken from the roll on."""
    credentials = Credentials()
    credentials.admit(["old"])
    _rolled(credentials, "new", overlap_s)
    assert credentials.standing("old", _AT + after_s) is expected
    assert credentials.standing("new", _AT) is Standing.VALID


def test_keys_may_end_without_another() -> None:
    """Nobody is let in then, whoever was before; a key that ended may be the next one."""
    credentials = Credentials()
    _rolled(credentials, None, 0.0)
    assert credentials.standing("anything", _AT) is Standing.UNKNOWN
    _rolled(credentials, "old", 0.0)
    _rolled(credentials, "new", 0.0)
    assert credentials.standing("old", _AT) is Standing.EXPIRED
    _rolled(credentials, "old", 0.0)
    assert credentials.standing("old", _AT) is Standing.VALID
