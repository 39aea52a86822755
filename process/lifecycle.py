"""How a process of ours lives and ends: one way for all of them.

The first SIGTERM, SIGINT or closed terminal asks it to take nothing more and to finish what it
took, for at most the shutdown timeout; what has not ended by then is cut off, and it exits 0. A
second one ends it at once. Whatever its libraries make of a request to stop, it ends in time: they
lose cancellations, wait for servers that are silent and for threads that are no daemons, and let
the event loop stand still, so that the last deadline stands outside of the loop. What is cut off
is not lost: it was recorded, or its lease runs out and it is asked after.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final, NoReturn, TypeAlias

import structlog

from process import event_loop
from process.closing import end
from telemetry import logging

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import FrameType

log = structlog.get_logger()

# For closing connections and for the last spans, once the time to drain is over.
CLEANUP_S: Final = 3.0
# For a loop that is late, but turns.
_LATE_S: Final = 1.0
# What a process needs for itself: pools, brokers, listeners, a log; a stage at rest has 60 open.
_OWN_FILES: Final = 128
# Enough for what the settings allow by default.
_MANY_FILES: Final = 4096
# A terminal, make and timeout may each pass the same key press on.
_ONE_KEY_PRESS_S: Final = 1.0
# Of the time to drain: whoever has drained within it can still say so, and close.
_SERVING_SHARE: Final = 0.9
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class CannotRun(Exception):
    """Why a process cannot go on, in one sentence for whoever started it."""

    exit_code = 1


class CannotBegin(CannotRun):
    """It is not to be mended by starting again: the settings ask for what cannot be."""

    exit_code = 2


@dataclass(slots=True)
class Lifecycle:
    """What a process is told, and what it tells whoever runs it."""

    shutdown_timeout_s: float
    # How many it may have open, sockets among them.
    open_files: int
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    # What it is made of: closed in the order of need, within a time, however its body ended.
    parts: AsyncExitStack = field(default_factory=AsyncExitStack)
    # Before it does, there is nothing to drain: told to stop, it is cancelled.
    takes_work: bool = False
    # What else is to end when a second signal, or the last deadline, ends the process.
    at_once: Callable[[], None] = lambda: None

    @property
    def drain_s(self) -> float:
        """For how long whoever serves others may go on to finish with them."""
        return self.shutdown_timeout_s * _SERVING_SHARE

    def sockets(self, asked: int, kinds: int = 1) -> int:
        """How many connections of each of so many kinds may be open, at most as many as asked."""
        return min(asked, (self.open_files - _OWN_FILES) // max(kinds, 1))

    def notice_s(self, asked_s: float) -> float:
        """Of the time to drain: for whoever spreads load to notice that this is to end."""
        return min(asked_s, self.drain_s / 2)


Body: TypeAlias = "Callable[[Lifecycle], Coroutine[object, object, None]]"


def run(
    name: str,
    body: Body,
    *,
    shutdown_timeout_s: float,
    sentences: tuple[type[Exception], ...] = (),
) -> NoReturn:
    """Run a process until its body ends, or is told to, and leave with its exit code.

    0 when it ended or was told to, drained or not; 1 when it failed or its loop stands still.
    `sentences` are errors that say to an operator what is wrong, as CannotRun does; of others the
    log has the traceback.
    """
    sys.stderr = logging.StandardError()
    event_loop.run(_live(name, body, shutdown_timeout_s, (CannotRun, *sentences)))


async def _live(
    name: str, body: Body, shutdown_timeout_s: float, sentences: tuple[type[Exception], ...]
) -> NoReturn:
    life = Lifecycle(shutdown_timeout_s, event_loop.allow_open_files())
    last = _LastDeadline(life)
    drain_s = 0.0

    def warned() -> None:
        nonlocal drain_s
        drain_s = shutdown_timeout_s if life.takes_work else 0
        last.leave_within(drain_s + CLEANUP_S + _LATE_S)

    told_to_stop(life.stopping.set, again=last.leave_at_once, warned=warned)
    working = asyncio.ensure_future(_lived(body, life, last))
    told = asyncio.ensure_future(life.stopping.wait())
    await asyncio.wait({working, told}, return_when=asyncio.FIRST_COMPLETED)
    await asyncio.wait({working}, timeout=drain_s)
    told.cancel()
    await end([working], within_s=CLEANUP_S)
    leave(_exit_code(name, working, sentences, was_told=life.stopping.is_set()))


async def _lived(body: Body, life: Lifecycle, last: _LastDeadline) -> None:
    async with life.parts:
        try:
            _look_at_open_files(life.open_files)
            await body(life)
        finally:
            # Told by nobody it may have failed, and what it is made of may not let go.
            last.failure = sys.exception()
            last.leave_within(life.shutdown_timeout_s + CLEANUP_S + _LATE_S)


def _look_at_open_files(allowed: int) -> None:
    """Raises CannotBegin where no work could be done with so few."""
    if allowed < 2 * _OWN_FILES:
        raise CannotBegin(
            f"only {allowed} files may be open at once, too few to work: raise the hard limit"
            f" (`ulimit -Hn`) to {_MANY_FILES} or more"
        )
    if allowed < _MANY_FILES:
        log.warning(
            "few files may be open at once, so less is done at once than the settings allow:"
            " raise the hard limit (`ulimit -Hn`)",
            allowed=allowed,
            enough=_MANY_FILES,
        )


class _LastDeadline:
    """Ends the process with 1 at a time, whatever has become of its event loop."""

    def __init__(self, life: Lifecycle) -> None:
        self._life = life
        self.failure: BaseException | None = None
        # It takes what a signal's handler puts, which may interrupt anything.
        self._deadlines: SimpleQueue[float] = SimpleQueue()
        threading.Thread(target=self._watch, name="last-deadline", daemon=True).start()

    def leave_within(self, seconds: float) -> None:
        """The earliest that was said counts."""
        self._deadlines.put(time.monotonic() + seconds)

    def leave_at_once(self) -> None:
        log.warning("told again, ends at once")
        self._cut_off()

    def _watch(self) -> None:
        deadline = self._deadlines.get()
        with suppress(Empty):
            while True:
                left = deadline - time.monotonic()
                deadline = min(deadline, self._deadlines.get(timeout=max(0.0, left)))
        log.error("hangs, and is ended", exc_info=self.failure)
        self._cut_off()

    def _cut_off(self) -> NoReturn:
        self._life.at_once()
        logging.flush()
        os._exit(1)


def _exit_code(
    name: str,
    working: asyncio.Task[None],
    sentences: tuple[type[Exception], ...],
    *,
    was_told: bool,
) -> int:
    """0 when it ended, 1 when it failed, or was cut off by nobody's word; and it is said which."""
    if not working.done():
        log.warning("stopped", in_time=False, hangs_in=_awaited(working))
        return 0 if was_told else 1
    failure = None if working.cancelled() else working.exception()
    # What came first of a group; the others followed from it.
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    if failure is None:
        log.info("stopped", in_time=not working.cancelled())
        return 0 if was_told or not working.cancelled() else 1
    if isinstance(failure, sentences):
        logging.say(f"{name}: {failure}")
    else:
        log.error("crashed", exc_info=failure)
    return failure.exit_code if isinstance(failure, CannotRun) else 1


def _awaited(task: asyncio.Task[None]) -> list[str]:
    """What it waits in, from the outermost on."""
    names = []
    inner: object = task.get_coro()
    while (name := getattr(inner, "__qualname__", None)) is not None:
        names.append(name)
        inner = getattr(inner, "cr_await", None) or getattr(inner, "ag_await", None)
    return names


def told_to_stop(
    stop: Callable[[], None],
    *,
    again: Callable[[], object],
    warned: Callable[[], None] = lambda: None,
) -> None:
    """Have the first of the signals call `stop` in the event loop, and each later one `again`.

    `again`, and `warned` of the first, are called even where the loop stands still: they may
    interrupt anything.
    """
    loop = asyncio.get_running_loop()
    patient_until: float | None = None

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        nonlocal patient_until
        if patient_until is None:
            patient_until = time.monotonic() + _ONE_KEY_PRESS_S
            warned()
            loop.call_soon_threadsafe(stop)
        elif time.monotonic() >= patient_until:
            again()

    for number in _SIGNALS:
        # Under nohup it is no matter that the terminal closes.
        if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            # So the loop wakes at a signal, whose handler runs then, and forgets it when it closes.
            loop.add_signal_handler(number, lambda: None)
            signal.signal(number, on_signal)


def leave(code: int) -> NoReturn:
    """End the process without waiting for anybody's thread."""
    for stream in (sys.stdout, sys.stderr):
        # What cannot be said any more, to a closed terminal, keeps nobody here.
        with suppress(OSError, ValueError):
            if stream is not None:
                stream.flush()
    logging.flush()
    os._exit(code)
