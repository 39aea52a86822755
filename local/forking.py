"""Programs of ours as forks of one interpreter that has imported everything: see `fork_server`.

Whoever kills or stops the fork server does so to it alone: what it has started goes on and is
looked after, only that nobody learns any more with which code it ends. The next start begins
another one.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections import deque
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from local.fork_server import Order
from local.program import CODE, StartError, kill_group

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from local.program import Program

# As multiprocessing has it, too.
_NOBODY_KNOWS: Final = 255
# Of a start: somebody may kill it in just that moment, but not each time.
_TRIES: Final = 3
# After an end that we saw ourselves.
_CODE_WITHIN_S: Final = 1.0
# Half a dozen times what it takes to import everything, on a machine that is at work.
_ANSWERED_WITHIN_S: Final = 60.0
_ENDED_WITHIN_S: Final = 3.0


def can_fork() -> bool:
    """Whether a process may be watched that is another's child: on Linux, from 5.3 on."""
    if sys.platform != "linux":
        return False
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError:
        return False
    return True


class Forked:
    """A process that was forked for us, to be signalled and waited for like one of our own.

    That it ends we see ourselves; with which code the fork server says, if it can.
    """

    def __init__(self, pid: int) -> None:
        self.pid: Final = pid
        self.returncode: int | None = None
        self._ended = asyncio.Event()
        # Names this process for as long as we look after it, whoever has its number then.
        self._descriptor: int | None = None
        with suppress(OSError):  # it was killed already, and we are about to be told
            self._descriptor = os.pidfd_open(pid)
            asyncio.get_running_loop().add_reader(self._descriptor, self._is_seen_to_end)

    async def wait(self) -> int:
        await self._ended.wait()
        assert self.returncode is not None, "an end has a code"
        return self.returncode

    def send_signal(self, number: signal.Signals) -> None:
        if self._descriptor is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._descriptor, number)

    def has_ended(self, code: int) -> None:
        if self.returncode is not None:
            return
        self._close()
        self.returncode = code
        self._ended.set()

    def is_left_alone(self) -> None:
        """Nobody tells us any more how it ends."""
        if self._descriptor is None:
            self.has_ended(_NOBODY_KNOWS)

    def _is_seen_to_end(self) -> None:
        self._close()
        asyncio.get_running_loop().call_later(_CODE_WITHIN_S, self.has_ended, _NOBODY_KNOWS)

    def _close(self) -> None:
        if self._descriptor is not None:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None


class ForkServer:
    """One interpreter that has imported `modules`; begun when it is first needed, or before."""

    def __init__(self, modules: Sequence[str], log: Path) -> None:
        self._modules = modules
        self._log = log
        self._beginning = asyncio.Lock()
        self._wire: _Wire | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._is_closed = False

    async def begin(self) -> None:
        """Have it import; a start waits for that. Raises `StartError`."""
        await self._reached()

    async def start(self, program: Program) -> Forked:
        """A fork of it as `program`, whose command is `python -m`. Raises `StartError`."""
        _, _, module, *arguments = program.command
        order = Order(
            module,
            arguments,
            str(program.directory),
            dict(program.environment),
            str(program.log),
            program.niceness,
        )
        for _ in range(_TRIES):
            wire = await self._reached()
            try:
                return await wire.start(order)
            except ConnectionError:
                continue
            except TimeoutError:
                # It hangs in an import, or somebody has stopped it: nothing else is lost with it.
                wire.close()
                self._kill()
            except OSError as error:
                raise StartError(f"{program.name} cannot be started: {error}.") from error
        raise StartError(f"{program.name} cannot be started: see the end of {self._log}.")

    async def aclose(self) -> None:
        """End it, and begin no other. What it has started goes on, what is asked for does not."""
        self._is_closed = True
        if self._wire is not None:
            self._wire.close()
        if self._process is not None:
            try:
                async with asyncio.timeout(_ENDED_WITHIN_S):
                    await self._process.wait()
            except TimeoutError:
                self._kill()
                await self._process.wait()

    def _kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def _reached(self) -> _Wire:
        async with self._beginning:
            if self._is_closed:
                raise StartError("Nothing is started any more.")
            if self._wire is None or self._wire.is_lost:
                self._wire = await self._begun()
            return self._wire

    async def _begun(self) -> _Wire:
        ours, its = socket.socketpair()
        try:
            with self._log.open("ab") as log:
                self._process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "local.fork_server", str(its.fileno())),
                    *self._modules,
                    cwd=CODE,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=[its.fileno()],
                    process_group=0,
                )
            loop = asyncio.get_running_loop()
            _, wire = await loop.create_unix_connection(_Wire, sock=ours)
        except OSError as error:
            ours.close()
            raise StartError(f"No process can be started: {error}.") from error
        except BaseException:
            ours.close()
            raise
        finally:
            its.close()
        return wire


class _Wire(asyncio.Protocol):
    """What is said to one fork server, and by it."""

    def __init__(self) -> None:
        self.is_lost = False
        self._rest = b""
        # They are answered in their order.
        self._asked: deque[asyncio.Future[Forked]] = deque()
        self._living: dict[int, Forked] = {}

    async def start(self, order: Order) -> Forked:
        """Raises OSError, or ConnectionError where it ends, and TimeoutError where it hangs."""
        if self.is_lost:
            raise ConnectionError
        # Variables need not be text: what is not goes there and back as it is.
        said = json.dumps(asdict(order)).encode()
        asked: asyncio.Future[Forked] = asyncio.get_running_loop().create_future()
        self._asked.append(asked)
        self._transport.write(said + b"\n")
        try:
            async with asyncio.timeout(_ANSWERED_WITHIN_S):
                forked = await asyncio.shield(asked)
        except (asyncio.CancelledError, TimeoutError):
            # It is answered all the same, and nobody looks after what has begun.
            asked.add_done_callback(_end_unwanted)
            raise
        self._transport.write(json.dumps({"go": forked.pid}).encode() + b"\n")
        return forked

    def close(self) -> None:
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport), "a socket is written to"
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._told(json.loads(line))

    def connection_lost(self, _error: Exception | None) -> None:
        self.is_lost = True
        for each in self._living.values():
            each.is_left_alone()
        self._living.clear()
        for asked in self._asked:
            if not asked.done():
                asked.set_exception(ConnectionError())
        self._asked.clear()

    def _told(self, said: dict[str, int | str]) -> None:
        match said:
            case {"began": int(pid)}:
                forked = self._living[pid] = Forked(pid)
                self._asked.popleft().set_result(forked)
            case {"failed": str(why)}:
                self._asked.popleft().set_exception(OSError(why))
            case {"ended": int(pid), "code": int(code)}:
                self._living.pop(pid).has_ended(code)
            case _:
                raise AssertionError(f"a fork server does not say {said}")


def _end_unwanted(asked: asyncio.Future[Forked]) -> None:
    if not asked.cancelled() and asked.exception() is None:
        kill_group(asked.result().pid)
