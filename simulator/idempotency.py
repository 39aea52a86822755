"""Idempotency keys as both vendors keep them: claimed before the work, settled after it.

A key is free, held by a request in flight, or bound to the answer it will give for the
vendor's window. Nothing waits here; a racing twin is told at once that it is one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial

import orjson

from simulator.entries import Decoders, Entry, JsonValue, StoredObject, record
from simulator.spill import Spill, Spilled


@dataclass(frozen=True, slots=True)
class Kept:
    """The answer a key is bound to: replayed for the same request, refused for another."""

    fingerprint: str | None
    path: str
    at: float
    status: int
    subject: StoredObject | None
    error: StoredObject | None
    scripted: JsonValue = None


class Claim(Enum):
    """What claiming a key gave when no answer is kept under it."""

    FRESH = auto()
    IN_USE = auto()


class Keys:
    """All keys of one vendor; `window_s(key)` seconds after its first use a key is new again."""

    def __init__(self, window_s: Callable[[str], float], file: Spill, decoders: Decoders) -> None:
        self._window_s = window_s
        self._kept: Spilled[Kept] = Spilled(file, partial(_kept, decoders))
        self._in_flight: set[str] = set()

    def __len__(self) -> int:
        return len(self._kept)

    def claim(self, key: str, at: float) -> Claim | Kept:
        """Take a free key, or learn what stands in the way. A fresh claim must be released."""
        if key in self._in_flight:
            return Claim.IN_USE
        kept = self._kept.get(key)
        if kept is not None and at - kept.at < self._window_s(key):
            return kept
        self._in_flight.add(key)
        return Claim.FRESH

    def release(self, key: str) -> None:
        """End the claim; the key is free again unless `apply` bound an answer to it."""
        self._in_flight.discard(key)

    def apply(self, key: str, entry: Entry) -> None:
        """Bind the key to the entry's answer, if it is one that is kept."""
        if entry.keeps_key:
            self._kept[key] = Kept(
                fingerprint=entry.fingerprint,
                path=entry.path,
                at=entry.at,
                status=entry.status,
                subject=entry.writes[0] if entry.writes else None,
                error=entry.error,
                scripted=entry.scripted,
            )


def _kept(decoders: Decoders, written: bytes) -> Kept:
    fields = orjson.loads(written)
    for name in ("subject", "error"):
        if fields[name] is not None:
            fields[name] = record(fields[name], decoders)
    return Kept(**fields)
