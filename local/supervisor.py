"""Keeps programs running: started, watched, restarted with back-off, and stopped in order.

A program that dies is started again after 1 s, then 2, 4 ... up to 30, and after a stable minute
from 1 s again. One that has never been ready and keeps dying ends the whole run, because then
something is wrong that waiting does not mend. Whoever supervises learns every change of state.
"""

import asyncio
import signal
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from local.ports import has, taken
from local.program import (
    POLL_SECONDS,
    Program,
    Running,
    StartError,
    StopGroup,
    kill_group,
    start,
    stop,
    why_it_ended,
)
from process.closing import end

BACKOFF_FIRST_SECONDS: Final = 1.0
BACKOFF_MAX_SECONDS: Final = 30.0
STABLE_SECONDS: Final = 60.0
# The first may meet a port still being released, the second a neighbour still starting.
_FIRST_STARTS_MAX: Final = 3


class ProcessState(StrEnum):
    """What a supervised program is doing."""

    STARTING = "starting"
    READY = "ready"
    BACKOFF = "backoff"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """A supervised program at one moment."""

    name: str
    state: ProcessState
    pid: int | None
    address: str
    restarts: int
    since: datetime
    log: str
    stop_signal: int = signal.SIGTERM
    stop_group: StopGroup = StopGroup.STORAGE


@dataclass(frozen=True, slots=True)
class Watcher:
    """Who is told: `changed` of every state, `say` what a person should read."""

    changed: Callable[[], None]
    say: Callable[[str], None]


class Supervised:
    """One program that is kept running until it is told to stop."""

    def __init__(self, program: Program, watcher: Watcher) -> None:
        self.program = program
        self._watcher = watcher
        self._state = ProcessState.STOPPED
        self._since = datetime.now(UTC)
        self._process: Running | None = None
        self._restarts = 0
        self._was_ready = False
        self._ends_life = False  # what was told since this life began
        self._failure: StartError | None = None
        self._decided = asyncio.Event()  # it was ready once, or it never will be
        self._stopping = asyncio.Event()

    def snapshot(self) -> ProcessStatus:
        process = self._process
        return ProcessStatus(
            name=self.program.name,
            state=self._state,
            pid=None if process is None or process.returncode is not None else process.pid,
            address=self.program.address,
            restarts=self._restarts,
            since=self._since,
            log=str(self.program.log),
            stop_signal=int(self.program.stop_signal),
            stop_group=self.program.stop_group,
        )

    async def keep(self) -> None:
        """Run it until `stop` is called, or until it has failed before it was ever ready."""
        delay = BACKOFF_FIRST_SECONDS
        try:
            while not self._stopping.is_set():
                stable, why = await self._tried_once()
                if self._stopping.is_set() or self._has_failed():
                    break
                if self._ends_life:
                    continue
                delay = BACKOFF_FIRST_SECONDS if stable else delay
                self._report_end(why, delay)
                await self._pause(delay)
                delay = min(2 * delay, BACKOFF_MAX_SECONDS)
        except StartError as error:
            self._failure = error
        finally:
            self.kill()
            self._enter(ProcessState.STOPPED)
            self._decided.set()

    async def until_ready(self) -> None:
        """Return when it has been ready once; `StartError` when it never will be."""
        await self._decided.wait()
        if self._failure is not None:
            raise self._failure

    async def end_life(self, *, within_seconds: float) -> None:
        """End its present life, one that just begins too; the next begins at once."""
        self._ends_life = True
        if self._process is not None:
            await stop(self.program, self._process, within_seconds=within_seconds)

    async def stop(self, *, within_seconds: float) -> bool:
        """End it and its keeping; False when it had to be killed."""
        self._stopping.set()
        if self._process is None:
            return True
        return await stop(self.program, self._process, within_seconds=within_seconds)

    def kill(self) -> bool:
        """End it and its keeping now; whether there was anything to kill."""
        self._stopping.set()
        if self._process is None or self._process.returncode is not None:
            return False
        kill_group(self._process.pid)
        return True

    async def _tried_once(self) -> tuple[bool, str | None]:
        """Whether it was a stable life, and why there was none; `StartError` of one that never was.

        What ran before will again, once what it lacks is back: a folder, a place for a process.
        """
        try:
            return await self._live_once(), None
        except StartError as error:
            if not self._was_ready:
                raise
            return False, str(error)

    async def _live_once(self) -> bool:
        """One life, from start to end; whether it was a stable one."""
        self._ends_life = False
        self._enter(ProcessState.STARTING)
        if self.program.before is not None and not await self._unless_stopped(self.program.before):
            return False
        self._process = process = await start(self.program)
        if self._stopping.is_set() or self._ends_life:
            await stop(self.program, process, within_seconds=0)
        self._enter(ProcessState.STARTING)
        await self._until_ready_or_ended(process)
        clock = asyncio.get_running_loop().time
        since = clock()
        if process.returncode is None:
            self._was_ready = True
            self._enter(ProcessState.READY)
            self._decided.set()
        await process.wait()
        return self._state is ProcessState.READY and clock() - since >= STABLE_SECONDS

    async def _unless_stopped(self, before: Callable[[], Coroutine[None, None, None]]) -> bool:
        """Whether it was done; False when it was told to stop meanwhile. Raises `StartError`."""
        doing = asyncio.create_task(before())
        stopped = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({doing, stopped}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end([doing, stopped])
        if doing.cancelled():
            return False
        doing.result()
        return True

    async def _until_ready_or_ended(self, process: Running) -> None:
        while process.returncode is None:
            if await self.program.is_ready() and self._answers_itself(process):
                return
            await asyncio.sleep(POLL_SECONDS)

    def _answers_itself(self, process: Running) -> bool:
        """Whether it is not somebody else, who has its port, that says it is well."""
        return self.program.port is None or has(process.pid, self.program.port)

    def _has_failed(self) -> bool:
        """Whether it died too often without ever having been ready."""
        if self._was_ready or self._restarts + 1 < _FIRST_STARTS_MAX:
            return False
        why = why_it_ended(self.program, self._exit_code())
        if self.program.port is not None:
            why = why.replace("the port is taken", taken(self.program.port))
        self._failure = StartError(why)
        return True

    def _report_end(self, why: str | None, delay: float) -> None:
        self._restarts += 1
        ended = why or f"{self.program.name} {how_it_ended(self._exit_code())}"
        self._watcher.say(f"{ended.rstrip('.')}; starting it again in {delay:.0f} s.")
        self._enter(ProcessState.BACKOFF)

    def _exit_code(self) -> int | None:
        return None if self._process is None else self._process.returncode

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return

    def _enter(self, state: ProcessState) -> None:
        if state is ProcessState.READY and self._restarts:
            self._watcher.say(f"{self.program.name} is ready again.")
        if state is not self._state:
            self._since = datetime.now(UTC)
        self._state = state
        self._watcher.changed()


def how_it_ended(code: int | None) -> str:
    """In words: exit codes as they are, signals (negative, as asyncio gives them) by name."""
    if code is not None and code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


async def until_all_ready(supervised: Sequence[Supervised], *, within_seconds: float) -> None:
    """Return when each has been ready once; `StartError` names those that are late."""
    try:
        async with asyncio.timeout(within_seconds):
            for each in supervised:
                await each.until_ready()
    except TimeoutError:
        late = [
            each.snapshot() for each in supervised if each.snapshot().state != ProcessState.READY
        ]
        names = ", ".join(f"{one.name} (its log: {one.log})" for one in late)
        raise StartError(f"Not ready within {within_seconds:.0f} s: {names}.") from None


async def stop_in_order(
    groups: Iterable[Sequence[Supervised]], *, within_seconds: float
) -> list[str]:
    """Stop one group after the other within the time for all; names of those that were killed."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + within_seconds
    killed: list[str] = []
    for group in groups:
        left = max(0.0, deadline - clock())
        obeyed = await asyncio.gather(*(each.stop(within_seconds=left) for each in group))
        killed += [each.program.name for each, did in zip(group, obeyed, strict=True) if not did]
    return killed
