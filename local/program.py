"""One program run as a child process: started, ready, stopped, and why it did not start.

The child is its own process group, so that Ctrl-C in the terminal reaches only whoever owns the
child. It is ready when its own check says so, never because time has passed. Nothing here
restarts anything: see `local/supervisor.py`.
"""

import asyncio
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import IntEnum, auto
from pathlib import Path
from typing import Final, Protocol, TypedDict

# Where `python -m` finds our packages: the clone, or the folder they are installed in.
CODE: Final = Path(__file__).parent.parent
POLL_SECONDS: Final = 0.05
_LOG_TAIL_BYTES: Final = 16_384
_LOG_TAIL_LINES: Final = 8
# The sockets of the ports that were given away last; before so many more a server listens.
_GIVEN: Final[deque[int]] = deque()
_GIVEN_MAX: Final = 64


class StopGroup(IntEnum):
    """With whom a program is stopped: the groups end one after the other, in this order."""

    CLIENTS = auto()
    ENTRANCES = auto()  # what lets work in
    STAGES = auto()
    RELAYS = auto()
    PROVIDERS = auto()
    OBSERVERS = auto()  # what only looks on, until there is nothing to see
    BROKER = auto()
    STORAGE = auto()

    @property
    def is_of_servers(self) -> bool:
        """Whether it is what ours run on: nobody writes any more when these are stopped."""
        return self >= StopGroup.BROKER


class StartError(Exception):
    """Something cannot be started; the message is one sentence for whoever ran the command."""

    exit_code: int = 1


class Running(Protocol):
    """A process that was started, as asyncio has it."""

    @property
    def pid(self) -> int: ...

    @property
    def returncode(self) -> int | None: ...

    async def wait(self) -> int: ...

    def send_signal(self, signal: signal.Signals, /) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What to run, where it logs and how to tell that it is ready."""

    name: str
    command: tuple[str, ...]
    directory: Path
    log: Path
    address: str
    is_ready: Callable[[], Awaitable[bool]]
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)
    stop_signal: signal.Signals = signal.SIGTERM
    stop_group: StopGroup = StopGroup.STORAGE
    # Where it is that answers when it is ready, and nobody else who has the port.
    port: int | None = None
    # Added to ours, as `nice` has it.
    niceness: int = 0
    # Only root can start a program as somebody else.
    user_id: int | None = None
    # What has to be done before each of its lives; it may wait for other programs.
    before: Callable[[], Coroutine[None, None, None]] | None = None
    # Who starts it, where its command is not simply executed.
    starter: Callable[["Program"], Awaitable[Running]] | None = None


@asynccontextmanager
async def running(
    program: Program, *, ready_within_seconds: float = 30.0, stop_within_seconds: float = 10.0
) -> AsyncIterator[Running]:
    """The program, ready inside the block and ended after it. Raises `StartError`."""
    process = await start(program)
    try:
        await until_ready(program, process, within_seconds=ready_within_seconds)
        yield process
    finally:
        await stop(program, process, within_seconds=stop_within_seconds)


async def start(program: Program) -> Running:
    """Start the program; what it prints is appended to its log. Raises `StartError`."""
    if program.starter is not None:
        return await program.starter(program)
    try:
        with program.log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *program.command,
                cwd=program.directory,
                env=dict(program.environment),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,
                **as_user(program.user_id),
            )
    except OSError as error:
        raise StartError(f"{program.name} cannot be started: {error}.") from error
    if program.niceness:
        # It has one thread yet, and the others will have what that one has.
        with suppress(ProcessLookupError):
            ours = os.getpriority(os.PRIO_PROCESS, 0)
            os.setpriority(os.PRIO_PROCESS, process.pid, ours + program.niceness)
    return process


class _User(TypedDict, total=False):
    user: int
    group: int
    extra_groups: list[int]


def as_user(user_id: int | None) -> _User:
    """Arguments of a subprocess that gives up being root, or none to stay who we are."""
    return _User() if user_id is None else _User(user=user_id, group=user_id, extra_groups=[])


async def until_ready(program: Program, process: Running, *, within_seconds: float) -> None:
    """Return once the program is ready; raise `StartError` when it ends or takes too long."""
    try:
        async with asyncio.timeout(within_seconds):
            while not await program.is_ready():
                if process.returncode is not None:
                    raise StartError(why_it_ended(program, process.returncode))
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        raise StartError(
            f"{program.name} was not ready within {within_seconds:.0f} s; see {program.log}."
        ) from None


async def stop(program: Program, process: Running, *, within_seconds: float) -> bool:
    """End the program by its own signal, or by force after `within_seconds`; say if it obeyed."""
    if process.returncode is None:
        process.send_signal(program.stop_signal)
    try:
        async with asyncio.timeout(within_seconds):
            await process.wait()
    except TimeoutError:
        kill_group(process.pid)
        await process.wait()
        return False
    return True


def kill_group(process_id: int) -> None:
    """End a child that did not obey, with whatever it started itself."""
    try:
        os.killpg(process_id, signal.SIGKILL)
    except ProcessLookupError:
        return


def why_it_ended(program: Program, exit_code: int | None) -> str:
    """Why the program stopped, from the end of its log."""
    lines = last_lines(program.log)
    return known_cause(program.name, "\n".join(lines), program.directory, program.address) or (
        f"{program.name} ended with exit code {exit_code}; the end of {program.log}:\n  "
        + "\n  ".join(lines)
    )


def known_cause(name: str, log: str, directory: Path, address: str = "") -> str | None:
    """One sentence for what commonly stops a server, from what it printed."""
    if "address already in use" in log.lower():
        return f"{name} cannot listen on {address}: the port is taken."
    if "No space left on device" in log:
        return f"{name} cannot start: the disk that holds {directory} is full."
    if "Permission denied" in log:
        return f"{name} cannot start: no permission for {directory}."
    return None


def last_lines(log: Path, count: int = _LOG_TAIL_LINES) -> list[str]:
    """The end of a log, without the frames of Java's stack traces: they bury what was said."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _LOG_TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except FileNotFoundError:
        return []
    return [line for line in lines if not line.startswith("\t")][-count:]


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen there now."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        if sys.platform != "win32":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_port(host: str = "127.0.0.1") -> int:
    """A port nobody listens on now, and that Linux chooses for nobody else soon.

    It stays bound, though nobody listens: the kernel then gives it neither to a client nor to who
    asks for any port, while a server that names it may have it, since servers reuse addresses.
    """
    probe = socket.socket()
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    probe.bind((host, 0))
    port: int = probe.getsockname()[1]
    if sys.platform == "linux":
        _GIVEN.append(probe.detach())
        if len(_GIVEN) > _GIVEN_MAX:
            os.close(_GIVEN.popleft())
    probe.close()
    return port
