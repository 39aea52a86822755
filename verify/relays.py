"""How far the relays have passed on what the database holds, whatever they read it from.

Over the WAL a relay confirms bytes to its slot. One that reads the table confirms nothing to
anybody: its newest checkpoint says up to which position of the outbox its sink has everything.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from store.queries import query
from topics.names import SLOTS
from verify.invariants import Violation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from verify.database import Connection

_LOOK_EVERY_S: Final = 0.25
# A relay confirms within milliseconds; one that is restarted needs seconds.
_PATIENCE_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class _Measure:
    """Where all is that was written, and where each sink is, in the same unit."""

    written: str
    reached: str
    unit: str
    absent: str


# By what relays read.
_MEASURES: Final[Mapping[str, _Measure]] = {
    "wal": _Measure("verify_written", "verify_slots", "bytes to confirm", "does not exist"),
    "table": _Measure(
        "drawn_position",
        "verify_checkpoints",
        "positions of the outbox to cover",
        "has no checkpoint",
    ),
}


@dataclass(frozen=True, slots=True)
class Relays:
    """Those of `sinks`, which read `source`: `wal` or `table`."""

    connection: Connection
    source: str
    sinks: Sequence[str]

    async def written(self) -> int:
        """Behind which nothing lies that was committed by now."""
        return int(await self.connection.fetchval(query(self._measure.written)))

    async def behind(self, position: int) -> dict[str, Violation]:
        """The sinks that have not come to a position yet."""
        names = {self._name(sink): sink for sink in self.sinks}
        rows = await self.connection.fetch(query(self._measure.reached), [*names])
        reached: dict[str, int] = {row["name"]: row["reached"] or 0 for row in rows}
        return {
            sink: Violation(self._subject(name), self._how_far(reached.get(name), position))
            for name, sink in names.items()
            if reached.get(name, 0) < position
        }

    async def not_reached(self, position: int) -> dict[str, Violation]:
        """Wait a little for all to come to a position; the sinks that do not."""
        deadline = asyncio.get_running_loop().time() + _PATIENCE_S
        while behind := await self.behind(position):
            is_hopeless = all(each.problem == self._measure.absent for each in behind.values())
            if is_hopeless or asyncio.get_running_loop().time() >= deadline:
                break
            await asyncio.sleep(_LOOK_EVERY_S)
        return behind

    @property
    def _measure(self) -> _Measure:
        return _MEASURES[self.source]

    def _name(self, sink: str) -> str:
        return SLOTS[sink] if self.source == "wal" else sink

    def _subject(self, name: str) -> str:
        return f"slot {name}" if self.source == "wal" else f"relay to {name}"

    def _how_far(self, reached: int | None, position: int) -> str:
        if reached is None:
            return self._measure.absent
        return f"has {position - reached} {self._measure.unit}"
