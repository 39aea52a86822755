"""How a process of ours lives and ends: one way for all of them.

The first SIGTERM, SIGINT or closed terminal asks it to take nothing more and to finish what it
took, for at most the shutdown timeout; then it exits 0. A second one ends it at once. Whatever
its libraries make of a request to stop, it ends in time: Faust's supervisors swallow a
cancellation, its consumer thread is no daemon, and to stop that thread mode lets the event loop
stand still, so that the last deadline stands outside of the loop. What is cut off is not lost: it
was recorded, or its lease runs out and it is asked after.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NoReturn, TypeAlias

import structlog

from process import event_loop

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

log = structlog.get_logger()

# For closing connections and for the last spans, once the time to drain is over.
CLEANUP_S: Final = 3.0
# A terminal, make and timeout may each pass the same key press on.
_ONE_KEY_PRESS_S: Final = 1.0


class CannotRun(Exception):
    """Why a process cannot go on, in one sentence for whoever started it."""


@dataclass(slots=True)
class Lifecycle:
    """What a process is told, and what it tells whoever runs it."""

    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    # Before it does, there is nothing to drain: told to stop, it is cancelled.
    takes_work: bool = False
    # What else is to end when a second signal ends the process.
    at_once: Callable[[], None] = lambda: None


Body: TypeAlias = "Callable[[Lifecycle], Coroutine[object, object, None]]"


def run(
    name: str,
    body: Body,
    *,
    shutdown_timeout_s: float,
    sentences: tuple[type[Exception], ...] = (),
) -> NoReturn:
    """Run a process until its body ends, or is told to, and leave with its exit code.

    0 when it ended, drained or not; 1 when it failed or hung. `sentences` are errors that say
    to an operator what is wrong, as CannotRun does; of others the log has the traceback.
    """
    event_loop.run(_live(name, body, shutdown_timeout_s, (CannotRun, *sentences)))


async def _live(
    name: str, body: Body, shutdown_timeout_s: float, sentences: tuple[type[Exception], ...]
) -> NoReturn:
    life = Lifecycle()
    drain_s = 0.0

    def stop() -> None:
        nonlocal drain_s
        drain_s = shutdown_timeout_s if life.takes_work else 0
        # Before anybody hears of it: the first to hear may be the one that hangs.
        leave_within(drain_s + CLEANUP_S)
        life.stopping.set()

    def end_at_once() -> NoReturn:
        life.at_once()
        log.warning("told again, ends at once")
        leave(1)

    told_to_stop(stop, again=end_at_once)
    working = asyncio.ensure_future(body(life))
    told = asyncio.ensure_future(life.stopping.wait())
    await asyncio.wait({working, told}, return_when=asyncio.FIRST_COMPLETED)
    await asyncio.wait({working}, timeout=drain_s)
    for task in (working, told):
        task.cancel()
    await asyncio.gather(working, told, return_exceptions=True)
    leave(_exit_code(name, working, sentences, was_told=life.stopping.is_set()))


def _exit_code(
    name: str,
    working: asyncio.Future[None],
    sentences: tuple[type[Exception], ...],
    *,
    was_told: bool,
) -> int:
    """0 when it ended, 1 when it failed, or was cut off by nobody's word; and it is said which."""
    failure = None if working.cancelled() else working.exception()
    # What came first of a group; the others followed from it.
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    if failure is None:
        log.info("stopped", in_time=not working.cancelled())
        return 0 if was_told or not working.cancelled() else 1
    if isinstance(failure, sentences):
        with suppress(OSError):
            sys.stderr.write(f"{name}: {failure}\n")
    else:
        log.error("crashed", exc_info=failure)
    return 1


def told_to_stop(stop: Callable[[], None], *, again: Callable[[], None]) -> None:
    """Have the first of the signals call `stop`, and each later one `again`."""
    loop = asyncio.get_running_loop()
    patient_until: float | None = None

    def on_signal() -> None:
        nonlocal patient_until
        if patient_until is None:
            patient_until = loop.time() + _ONE_KEY_PRESS_S
            stop()
        elif loop.time() >= patient_until:
            again()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        # Under nohup it is no matter that the terminal closes.
        if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, on_signal)


def leave(code: int) -> NoReturn:
    """End the process without waiting for anybody's thread."""
    for stream in (sys.stdout, sys.stderr):
        # What cannot be said any more, to a closed terminal, keeps nobody here.
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def leave_within(seconds: float) -> None:
    """End the process with 1 after so many seconds, even if the event loop stands still."""
    deadline = threading.Timer(seconds, leave, (1,))
    deadline.daemon = True
    deadline.start()
