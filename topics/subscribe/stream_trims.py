"""Notices entries of a Redis stream that were trimmed before they were given.

An entry's id is a place in the WAL, so that a hole between two says nothing. Redis counts all that
were ever added, and for a group how many of these it has read: what was removed from the front
and not read is gone.
"""

from typing import Final, cast

import redis.asyncio
from redis.exceptions import ResponseError
from redis.typing import StreamIdT

from topics.subscribe.reports import Gap, Report

_BEGINNING: Final = b"0"


class Trims:
    """Of one stream, for a group of it or for one reader without."""

    def __init__(
        self, client: redis.asyncio.Redis, topic: str, report: Report, group: str | None = None
    ) -> None:
        self._client = client
        self._topic = topic
        self._report = report
        self._group = group
        # Entries since the stream's beginning; None where nobody can tell.
        self._read: int | None = None

    async def make_group(self, start: bytes) -> None:
        """Make the group, if there is none, so that Redis knows how much it has read."""
        assert self._group is not None, "a reader without a group makes none"
        added, removed, _ = await self._counts()
        read = removed if start == _BEGINNING else added
        try:
            await self._client.xgroup_create(self._topic, self._group, id=start, entries_read=read)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    async def begin(self, after: StreamIdT) -> None:
        """A reader without a group begins behind an entry."""
        added, removed, last = await self._counts()
        self._read = removed if after == _BEGINNING else added if after == last else None

    def read(self, entry_id: bytes) -> None:
        """It was given the next entry."""
        del entry_id
        if self._read is not None:
            self._read += 1

    async def look(self) -> None:
        """Report what was trimmed before it was read, once."""
        added, removed, _ = await self._counts()
        if added < (self._read or 0):  # the stream began anew, and this count with it
            self._read = 0
        read = await self._read_by_group() if self._group is not None else self._read
        if read is None:
            return
        told = max(read, self._read or 0)
        if removed > told:
            self._report(Gap(self._topic, await self._first(), removed - told))
        self._read = max(removed, told)

    async def _counts(self) -> tuple[int, int, bytes]:
        """Entries ever added, how many of them are gone, and the last one's id."""
        try:
            found = await self._client.xinfo_stream(self._topic)
        except ResponseError:  # there is none yet, or any more
            return 0, 0, _BEGINNING
        added = cast("int", found["entries-added"])
        return (
            added,
            added - cast("int", found["length"]),
            cast("bytes", found["last-generated-id"]),
        )

    async def _read_by_group(self) -> int | None:
        for each in await self._client.xinfo_groups(self._topic):
            if each["name"] == (self._group or "").encode():
                return cast("int | None", each["entries-read"])
        return None

    async def _first(self) -> str:
        first = await self._client.xrange(self._topic, count=1)
        return cast("bytes", first[0][0]).decode() if first else "its end"
