"""Whose requests a vendor takes: by keys of which only digests are kept, and that can be rolled.

A vendor that was never given a key takes everybody's. What was rolled is part of the journal, so
that a key which ended stays ended.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto
from hashlib import blake2b
from math import inf
from typing import Final

from simulator.dashboard import RollKey
from simulator.entries import JsonObject
from simulator.vendor import Decision

# A configured key that stands for any.
ANY: Final = "*"


class Standing(Enum):
    """What a key is worth at a moment."""

    VALID = auto()
    EXPIRED = auto()
    UNKNOWN = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRoll:
    """The digests of keys that end at a time in Unix seconds, and of the one that follows them."""

    ended: tuple[str, ...]
    until: float
    following: str | None = None
    kind: str = "key_roll"


def key_roll(fields: JsonObject) -> KeyRoll:
    """From the journal. Raises TypeError for what is none."""
    ended, until, following = fields["ended"], fields["until"], fields["following"]
    if not isinstance(ended, list) or not isinstance(until, float):
        raise TypeError("not a roll of keys")
    return KeyRoll(
        ended=tuple(str(one) for one in ended),
        until=until,
        following=None if following is None else str(following),
    )


class Credentials:
    """The keys of one vendor."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}
        self._is_open = True

    def admit(self, keys: Iterable[str]) -> None:
        """Take these keys, for as long as they are not rolled; among them ANY means all."""
        given = set(keys)
        self._is_open = not given or ANY in given
        self._until.update({digest(key): inf for key in given})

    def standing(self, key: str, at: float) -> Standing:
        """Of a key at a time in Unix seconds."""
        return self.standing_of(digest(key), at)

    def standing_of(self, name: str, at: float) -> Standing:
        """Of the key with a digest."""
        until = self._until.get(name)
        if until is None:
            return Standing.VALID if self._is_open else Standing.UNKNOWN
        return Standing.VALID if at < until else Standing.EXPIRED

    def roll(self, action: RollKey, at: float) -> Decision:
        """End all keys there are after the overlap; what follows them may be nothing."""
        rolled = KeyRoll(
            ended=tuple(name for name, until in self._until.items() if at < until),
            until=at + action.overlap_seconds,
            following=None if action.key is None else digest(action.key),
        )
        body = {"ended": len(rolled.ended), "until": rolled.until}
        return Decision(status=200, outcome="ok", writes=(rolled,), body=body)

    def apply(self, rolled: KeyRoll) -> None:
        """Make a roll the present state."""
        self._is_open = False
        self._until.update(
            {name: min(rolled.until, self._until.get(name, inf)) for name in rolled.ended}
        )
        if rolled.following is not None:
            self._until[rolled.following] = inf


def digest(key: str) -> str:
    """What a key is known by."""
    return blake2b(key.encode(), digest_size=8).hexdigest()
