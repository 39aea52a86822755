"""Mappings of which the newest values stay in memory while the others lie in a file.

A mapping answers as a dict does, in the order of insertion, but forgets nothing for want of
memory: what is old goes to the file some thousand values at a time, and comes back when it is
asked for. The file is no truth: each start makes it anew, filled by the journal's replay, and it
has no name, so that nothing of it is left however the process ends.
"""

from __future__ import annotations

import asyncio
import sqlite3
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count, islice
from pathlib import Path
from threading import Lock
from typing import Any, Final, Generic, TypeVar

import orjson

V = TypeVar("V")

# Of each mapping: some tens of megabytes of payments, minutes of a busy day.
HOT_MAX: Final = 20_000
# So many go at once, which takes the thread that writes a few milliseconds.
_BATCH_MAX: Final = 1000
# A value that is new, one that is back, and one on its way.
_HOT_MIN: Final = 3
# A megabyte for each mapping: of a million keys that are not in the file nine in ten are told so
# without asking it.
_FILTER_BITS: Final = 1 << 23


class SpillError(Exception):
    """The file cannot be made, written or read; the message says why."""


class Spill:
    """The file of one simulator's mappings, of which each keeps `hot_max` values in memory.

    Batches are written by a thread, a statement each, so that the event loop waits for none.
    """

    def __init__(self, path: Path, hot_max: int = HOT_MAX) -> None:
        assert hot_max >= _HOT_MIN
        self.hot_max = hot_max
        self._path = path
        self._numbers = count()
        self._lock = Lock()
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spill")
        self._failure: SpillError | None = None
        self._failed = asyncio.Event()
        try:
            self._database = _opened(path)
        except (OSError, sqlite3.Error) as error:
            raise SpillError(f"cannot make {path}: {error}") from error
        # Closed with the file, or with the last mapping that holds it.
        self._closing = weakref.finalize(self, self._database.close)

    def table(self) -> str:
        """A new table's name: values in the order of insertion, each found by its key."""
        name = f"mapping_{next(self._numbers)}"
        self.read(
            f"CREATE TABLE {name} (place INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, "
            "value BLOB NOT NULL)"
        )
        return name

    def read(self, statement: str, *arguments: object) -> list[Any]:  # Any: a row of any columns
        """The rows of a statement, after a batch that is being written. Raises SpillError."""
        try:
            with self._lock:
                return self._database.execute(statement, arguments).fetchall()
        except sqlite3.Error as error:
            raise self._fail(error) from error

    def write(self, statement: str, arguments: list[str | bytes]) -> Future[None]:
        """Begin a batch."""
        return self._executor.submit(self._write, statement, arguments)

    def end(self, batch: Future[None]) -> None:
        """Return when the batch is written. Raises SpillError."""
        try:
            batch.result()
        except sqlite3.Error as error:
            raise self._fail(error) from error

    async def watch(self) -> None:
        """Run until cancelled; raises SpillError when the file has failed whoever asked."""
        await self._failed.wait()
        assert self._failure is not None
        raise self._failure

    def close(self) -> None:
        """End what is being written, and give the disk back."""
        self._executor.shutdown()
        self._closing()

    def _write(self, statement: str, arguments: list[str | bytes]) -> None:
        with self._lock:
            self._database.execute(statement, arguments)

    def _fail(self, error: sqlite3.Error) -> SpillError:
        self._failure = SpillError(f"{self._path}: {error}")
        self._failed.set()
        return self._failure


class Spilled(Generic[V]):
    """A mapping of one kind of value; `decode` makes a value of the JSON that orjson makes of it.

    Its methods raise SpillError. A value that was changed in place must be set again.
    """

    def __init__(self, file: Spill, decode: Callable[[bytes], V]) -> None:
        self._file = file
        self._decode = decode
        self._batch_max = min(_BATCH_MAX, file.hot_max // _HOT_MIN)
        self._newest_max = file.hot_max - 2 * self._batch_max
        # What never left, in order; what did and was asked for since; what is being written.
        self._newest: dict[str, V] = {}
        self._recalled: dict[str, V] = {}
        self._leaving: dict[str, V] = {}
        self._changed: set[str] = set()
        self._batch: Future[None] | None = None
        self._spilled = 0
        self._filter = bytearray()
        self._statements = _Statements(file.table(), self._batch_max)

    @property
    def in_memory(self) -> int:
        """How many values are held in memory."""
        return len(self._newest) + len(self._recalled) + len(self._leaving)

    def __len__(self) -> int:
        return self._spilled + len(self._newest)

    def __contains__(self, key: str) -> bool:
        return key in self._newest or (self._spilled > 0 and self._is_spilled(key))

    def __getitem__(self, key: str) -> V:
        value = self.get(key)
        if value is None:
            raise KeyError(key)
        return value

    def __setitem__(self, key: str, value: V) -> None:
        self.put(key, value)

    def put(self, key: str, value: V) -> bool:
        """Set a value; whether its key is new."""
        if key in self._newest:
            self._newest[key] = value
            return False
        if self._spilled and self._is_spilled(key):
            self._recall(key, value)
            self._changed.add(key)
            return False
        self._newest[key] = value
        if len(self._newest) > self._newest_max:
            self._spill()
        return True

    def get(self, key: str) -> V | None:
        """The value of a key, if there is one."""
        value = self._newest.get(key)
        if value is not None or not self._spilled:
            return value
        value = self._recalled.get(key)
        if value is None:
            value = self._found(key)
            if value is not None:
                self._recall(key, value)
        return value

    def place(self, key: str) -> int:
        """How many were inserted before this one. Raises KeyError."""
        if key in self._newest:
            return self._spilled + next(at for at, one in enumerate(self._newest) if one == key)
        self._finish()
        for (place,) in self._file.read(self._statements.place, key):
            return int(place) - 1
        raise KeyError(key)

    def oldest_first(self, start: int = 0) -> Iterator[V]:
        """The values from a place on. Nothing may be set meanwhile."""
        last = start
        while last < self._spilled and (rows := self._rows(self._statements.after, last)):
            yield from (value for _, value in rows)
            last = rows[-1][0]
        yield from islice(self._newest.values(), max(0, start - self._spilled), None)

    def newest_first(self, end: int | None = None) -> Iterator[V]:
        """The values before a place, or all. Nothing may be set meanwhile."""
        end = len(self) if end is None else end
        yield from islice(reversed(self._newest.values()), len(self) - end, None)
        first = min(end, self._spilled) + 1
        while first > 1:
            rows = self._rows(self._statements.before, first)
            yield from (value for _, value in rows)
            first = rows[-1][0]

    def _rows(self, statement: str, place: int) -> list[tuple[int, V]]:
        """A page of the file with the values as they are now."""
        self._finish()
        return [
            (found, self._recalled[key] if key in self._recalled else self._decode(value))
            for found, key, value in self._file.read(statement, place)
        ]

    def _is_spilled(self, key: str) -> bool:
        return key in self._recalled or key in self._leaving or self._row(key) is not None

    def _found(self, key: str) -> V | None:
        value = self._leaving.get(key)
        if value is None and (row := self._row(key)) is not None:
            value = self._decode(row)
        return value

    def _row(self, key: str) -> bytes | None:
        at = hash(key) & (_FILTER_BITS - 1)
        if not self._filter[at >> 3] >> (at & 7) & 1:
            return None
        rows = self._file.read(self._statements.value, key)
        return rows[0][0] if rows else None

    def _recall(self, key: str, value: V) -> None:
        if len(self._recalled) >= self._batch_max and key not in self._recalled:
            changed = {one: self._recalled[one] for one in self._changed}
            self._recalled, self._changed = {}, set()
            if changed:
                self._leave(changed)
        self._recalled[key] = value

    def _spill(self) -> None:
        """Let the oldest of the newest go."""
        oldest = dict(islice(self._newest.items(), self._batch_max))
        for key in oldest:
            del self._newest[key]
        self._leave(oldest)
        self._spilled += len(oldest)

    def _leave(self, values: dict[str, V]) -> None:
        self._finish()
        if not self._filter:
            self._filter = bytearray(_FILTER_BITS >> 3)
        arguments: list[str | bytes] = []
        for key, value in values.items():
            at = hash(key) & (_FILTER_BITS - 1)
            self._filter[at >> 3] |= 1 << (at & 7)
            arguments += (key, orjson.dumps(value))
        # The statement has so many rows whatever there is to write: the last one some times.
        arguments += arguments[-2:] * (self._batch_max - len(values))
        self._leaving = values
        self._batch = self._file.write(self._statements.write, arguments)

    def _finish(self) -> None:
        """Wait for the batch that is being written."""
        if self._batch is not None:
            self._file.end(self._batch)
            self._batch, self._leaving = None, {}


class _Statements:
    """What a mapping says to its table."""

    def __init__(self, table: str, batch: int) -> None:
        self.value, self.place, self.after, self.before, write = (
            text.replace("@table", table) for text in _STATEMENTS
        )
        # One statement, which leaves the interpreter to others until all of it is written.
        self.write = write.replace("@rows", ", ".join(["(?, ?)"] * batch))


_STATEMENTS: Final = (
    "SELECT value FROM @table WHERE key = ?",
    "SELECT place FROM @table WHERE key = ?",
    "SELECT place, key, value FROM @table WHERE place > ? ORDER BY place LIMIT 100",
    "SELECT place, key, value FROM @table WHERE place < ? ORDER BY place DESC LIMIT 100",
    """INSERT INTO @table (key, value) VALUES @rows
       ON CONFLICT (key) DO UPDATE SET value = excluded.value""",
)


def _opened(path: Path) -> sqlite3.Connection:
    """An empty database in a file that is removed at once: it lives as long as it is open."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        for setting in ("journal_mode = OFF", "synchronous = OFF", "locking_mode = EXCLUSIVE",
                        "temp_store = MEMORY"):  # fmt: skip
            database.execute(f"PRAGMA {setting}").fetchall()
        path.unlink(missing_ok=True)
    except BaseException:
        database.close()
        raise
    return database
