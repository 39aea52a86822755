"""Takes whole months of history out of the database: written, made sure of, detached, dropped.

Only in this order, and each step can be run again: what was written is replaced, and what was
detached is compared with what was written before it is dropped. A month in which anybody is still
owed something stays, whole.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import UUID

import asyncpg

from store.archive.files import Digest, Manifest, Part, is_whole, write_manifest, write_part
from store.partitions import InTheWay, alone
from store.queries import bound, query
from store.read.id_ranges import first_id_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from datetime import datetime
    from pathlib import Path

_PAGE: Final = 2_000
# A lock is asked for that often, a tenth of a second each time, half a second apart.
_TRIES: Final = 60
_AGAIN_AFTER_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Month:
    """A range of payments and where their history is: a partition a table, attached or not."""

    first_id: UUID
    end_id: UUID
    label: str
    partitions: dict[str, str]

    @property
    def manifest(self) -> str:
        return f"history-{self.label}.json"


@dataclass(frozen=True, slots=True)
class InUse:
    """A payment for which something is owed still, and what."""

    payment_id: UUID
    reason: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a month: `in_use` names some who keep it, `manifest` says what was written."""

    month: Month
    manifest: Manifest | None
    in_use: tuple[InUse, ...] = ()


@dataclass(frozen=True, slots=True)
class Archive:
    """One run: `pool` changes, `reading` reads for as long as it takes, files go to `directory`."""

    pool: asyncpg.Pool[asyncpg.Record]
    reading: asyncpg.Connection[asyncpg.Record]
    directory: Path

    async def run(self, before: datetime, say: Callable[[Outcome], None]) -> None:
        """Archive each month that ends by then; at first, end what an earlier run began.

        Raises InTheWay, and what asyncpg raises.
        """
        for row in await self.reading.fetch(query("unfinished_archives")):
            await self._finish(_month(row), say)
        ended = bound("months_of_history", before_id=first_id_of(before))
        for row in await self.reading.fetch(*ended):
            await self._archive(_month(row), say)

    async def _archive(self, month: Month, say: Callable[[Outcome], None]) -> None:
        if in_use := await self._in_use(month):
            say(Outcome(month, None, in_use))
            return
        manifest = await self._written(month)
        try:
            await self._detach(month, manifest)
        except asyncpg.ObjectInUseError:
            # Since it was looked, somebody was paid back or the like.
            say(Outcome(month, None, await self._in_use(month)))
            return
        await self._finish(month, say)

    async def _in_use(self, month: Month) -> tuple[InUse, ...]:
        asked = bound("history_in_use", first_id=month.first_id, end_id=month.end_id)
        return tuple(InUse(**row) for row in await self.reading.fetch(*asked))

    async def _written(self, month: Month) -> Manifest:
        """As it is at one moment."""
        parts: list[Part] = []
        async with self.reading.transaction(isolation="repeatable_read", readonly=True):
            for table, partition in month.partitions.items():
                path = self.directory / f"{table}-{month.label}.jsonl.zst"
                parts.append(await write_part(path, table, self._lines(table, partition)))
        manifest = Manifest(first_id=month.first_id, end_id=month.end_id, parts=tuple(parts))
        write_manifest(self.directory / month.manifest, manifest)
        return manifest

    async def _lines(self, table: str, partition: str) -> AsyncIterator[str]:
        read = await self.reading.fetchval(
            *bound("history_lines", table=table, partition=partition)
        )
        async for row in self.reading.cursor(read, prefetch=_PAGE):
            yield row["line"]

    async def _detach(self, month: Month, manifest: Manifest) -> None:
        partitions = [*month.partitions.values()]
        detached = bound(
            "detach_history",
            first_id=month.first_id,
            end_id=month.end_id,
            tables=[*month.partitions],
            partitions=partitions,
            manifest=month.manifest,
            label=month.label,
            payment_events=manifest.rows_of("payment_events"),
            attempts=manifest.rows_of("attempts"),
        )
        defaults = [f"{each}_default" for each in month.partitions]
        await self._alone(detached, [*month.partitions, *defaults, *partitions])

    async def _finish(self, month: Month, say: Callable[[Outcome], None]) -> None:
        """What is detached nobody changes: as it is, it is on disk before it is dropped."""
        manifest = await self._written(month) if await self._differs(month) else None
        if manifest is None:
            manifest = Manifest.model_validate_json((self.directory / month.manifest).read_bytes())
        dropped = bound(
            "drop_detached_history",
            first_id=month.first_id,
            payment_events=manifest.rows_of("payment_events"),
            attempts=manifest.rows_of("attempts"),
        )
        await self._alone(dropped, [*month.partitions.values()])
        say(Outcome(month, manifest))

    async def _differs(self, month: Month) -> bool:
        """Whether the files are not there, or not what the detached tables are."""
        try:
            text = (self.directory / month.manifest).read_bytes()
        except FileNotFoundError:
            return True
        parts = {part.table: part for part in Manifest.model_validate_json(text).parts}
        if not all(is_whole(self.directory, part) for part in parts.values()):
            return True
        async with self.reading.transaction(isolation="repeatable_read", readonly=True):
            for table, partition in month.partitions.items():
                digest = Digest()
                async for line in self._lines(table, partition):
                    digest.take(line)
                if parts[table] != digest.part(table, parts[table].file):
                    return True
        return False

    async def _alone(
        self, statement: tuple[str, *tuple[object, ...]], locked: Sequence[str]
    ) -> None:
        for left in reversed(range(_TRIES)):
            try:
                if await alone(self.pool, [statement], locked):
                    return
            except InTheWay:
                if not left:
                    raise
            await asyncio.sleep(_AGAIN_AFTER_S)
        raise InTheWay([])


def _month(row: asyncpg.Record) -> Month:
    return Month(
        row["first_id"],
        row["end_id"],
        row["label"],
        dict(zip(row["tables"], row["partitions"], strict=True)),
    )
