"""The simulator's append-only journal: JSON lines, on disk before anybody is answered.

Concurrent appends share one fdatasync, run in a thread, so that the event loop never waits
for the disk. A file that was cut in its last line by a kill is cut back to the line before,
and the loss is reported; damage anywhere else refuses the start. When a write fails nothing
is answered any more: a witness that cannot write does not testify.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_READ_BYTES: Final = 1 << 20


class JournalError(Exception):
    """The journal cannot be opened, read or written; the message says why."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """What opening found: whole lines, and the bytes of a torn last line that were cut off."""

    lines: int
    torn_bytes: int


class Journal:
    """Appends lines in order and says when they are durable. `run` must be running."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = _open_locked(path)
        self._lines: list[bytes] = []
        self._group = _Group()
        self._wake = asyncio.Event()
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal")

    def recover(self, replay: Callable[[bytes], None]) -> Recovery:
        """Hand every whole line to `replay`, which raises ValueError for a bad one.

        Raises JournalError when a line that is not the last is bad.
        """
        good_bytes = lines = 0
        size = self._path.stat().st_size
        for line in self._read_lines():
            fault = _fault_in(line, replay)
            if fault is not None and good_bytes + len(line) < size:
                raise JournalError(f"{self._path}: line {lines + 1}: {fault}") from fault
            if fault is not None:
                break
            good_bytes += len(line)
            lines += 1
        os.ftruncate(self._descriptor, good_bytes)
        return Recovery(lines=lines, torn_bytes=size - good_bytes)

    async def append(self, line: bytes) -> None:
        """Return once the line, and every line before it, is on disk."""
        self._lines.append(line)
        group = self._group
        self._wake.set()
        await group.durable.wait()
        if group.failure is not None:
            raise JournalError(f"{self._path}: {group.failure}")

    async def run(self) -> None:
        """Write groups until cancelled; raises JournalError when the disk refuses."""
        loop = asyncio.get_running_loop()
        while True:
            await self._wake.wait()
            self._wake.clear()
            lines, self._lines = self._lines, []
            group, self._group = self._group, _Group()
            try:
                await loop.run_in_executor(self._executor, self._write, b"".join(lines))
            except OSError as error:
                group.failure = error
                raise JournalError(f"{self._path}: {error}") from error
            finally:
                group.durable.set()

    def read_lines(self, offset: int) -> Iterator[tuple[int, bytes]]:
        """Whole lines from a byte offset on, each with the offset that follows it."""
        with self._path.open("rb") as file:
            file.seek(offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                offset += len(line)
                yield offset, line

    def close(self) -> None:
        """Release the file; what was appended and not yet durable is lost."""
        self._executor.shutdown()
        os.close(self._descriptor)

    def _read_lines(self) -> Iterator[bytes]:
        with self._path.open("rb", buffering=_READ_BYTES) as file:
            yield from file

    def _write(self, block: bytes) -> None:
        view = memoryview(block)
        while view:
            view = view[os.write(self._descriptor, view) :]
        os.fdatasync(self._descriptor)


def _fault_in(line: bytes, replay: Callable[[bytes], None]) -> ValueError | None:
    if not line.endswith(b"\n"):
        return ValueError("cut off")
    try:
        replay(line)
    except ValueError as error:
        return error
    return None


class _Group:
    """The lines that one fdatasync makes durable together."""

    __slots__ = ("durable", "failure")

    def __init__(self) -> None:
        self.durable = asyncio.Event()
        self.failure: OSError | None = None


def _open_locked(path: Path) -> int:
    """Open for appending, alone: two simulators on one journal would contradict each other."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise JournalError(f"cannot open the journal {path}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise JournalError(f"another simulator writes the journal {path}") from None
    return descriptor
