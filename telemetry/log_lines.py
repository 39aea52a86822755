"""Writes the lines of the log from a thread of its own: whoever logs never waits, and never fails.

What waits to be written is bounded. When a reader sleeps or is dead, the disk is full or the
stream is closed, lines are lost and counted, and how many is told as soon as it goes on.
"""

from __future__ import annotations

import select
import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from io import RawIOBase
    from typing import BinaryIO

# Some ten thousand lines: what a busy process says while a disk hiccups for seconds.
_WAITING_BYTES_MAX: Final = 8 * 1024 * 1024
# From one write to the next: to wake the thread costs more than to write a line.
_GATHER_S: Final = 0.05
# In one write: what a pipe holds, so that a failure loses few and a flush sees progress.
_WRITE_BYTES_MAX: Final = 64 * 1024


class LogLines:
    """Lines on their way to an unbuffered stream; without a stream all of them are lost.

    `tell` is called, from the writing thread, with how many were lost since it was last called.
    """

    def __init__(
        self,
        stream: RawIOBase | BinaryIO | None,
        tell: Callable[[int], None],
        waiting_bytes_max: int = _WAITING_BYTES_MAX,
    ) -> None:
        self.lost = 0
        self._untold = 0
        self._tell = tell
        self._stream = stream
        self._is_torn = False
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0  # of those that are being written, too
        self._waiting_bytes_max = waiting_bytes_max
        self._is_asleep = False  # until there is a line
        self._flushing = 0
        # Reentrant, so that a signal's handler may log in the middle of a line.
        self._changed = threading.Condition(threading.RLock())
        # A daemon: a write that hangs keeps nobody from ending.
        threading.Thread(target=self._write_for_ever, name="log-lines", daemon=True).start()

    def write(self, line: bytes) -> None:
        """Have a line, its end included, written some time; or lose it."""
        with self._changed:
            if self._waiting_bytes + len(line) > self._waiting_bytes_max:
                self._lose(1)
                return
            self._waiting.append(line)
            self._waiting_bytes += len(line)
            if self._is_asleep:
                self._is_asleep = False
                self._changed.notify_all()

    def flush(self, within_s: float) -> None:
        """Return when all is written or lost, or after that time."""
        with self._changed:
            self._flushing += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._waiting_bytes, within_s)
            self._flushing -= 1

    def _write_for_ever(self) -> None:
        while True:
            with self._changed:
                self._is_asleep = not self._waiting
                self._changed.wait_for(lambda: self._waiting)
                lines, self._waiting = self._waiting, []
            for chunk in _chunks(lines):
                lost = self._lost_of(chunk)
                with self._changed:
                    self._lose(lost)
                    untold, self._untold = (self._untold, 0) if not lost else (0, self._untold)
                    self._waiting_bytes -= len(chunk)
                    self._changed.notify_all()
                if untold:
                    self._tell(untold)
            with self._changed:
                self._changed.wait_for(lambda: self._flushing, _GATHER_S)

    def _lost_of(self, lines: bytes) -> int:
        """Write them; how many were lost."""
        if self._stream is None:
            return lines.count(b"\n")
        # What follows half a line must not be read as the rest of it.
        text = b"\n" + lines if self._is_torn else lines
        unwritten = memoryview(text)
        try:
            while unwritten:
                unwritten = unwritten[_written(self._stream, unwritten) :]
        except (OSError, ValueError):
            written = len(text) - len(unwritten)
            self._is_torn = text[:written].endswith(b"\n") is False if written else self._is_torn
            return min(bytes(unwritten).count(b"\n"), lines.count(b"\n"))
        self._is_torn = False
        return 0

    def _lose(self, count: int) -> None:
        self.lost += count
        self._untold += count


def _written(stream: RawIOBase | BinaryIO, data: memoryview) -> int:
    """How many bytes were written; waits where others made the stream non-blocking."""
    count = stream.write(data)
    if count is None:
        select.select((), (stream,), ())
        return 0
    return count


def _chunks(lines: list[bytes]) -> Iterator[bytes]:
    chunk: list[bytes] = []
    size = 0
    for line in lines:
        if chunk and size + len(line) > _WRITE_BYTES_MAX:
            yield b"".join(chunk)
            chunk, size = [], 0
        chunk.append(line)
        size += len(line)
    yield b"".join(chunk)
