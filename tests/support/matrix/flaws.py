"""What a process of ours may be given too little of, by name.

While the context of one is open the named process runs with it, and, but for `no files`, until it
is started anew.
"""

from __future__ import annotations

import os
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Final

import psutil

from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    from tests.support.matrix.site import Site

    Flaw = Callable[[Site, str], AbstractAsyncContextManager[None]]

# The fewest that a process begins to work with.
_FEW_FILES: Final = ("prlimit", "--nofile=256:256")
# There is more in its log than that: not a byte fits in.
_NO_ROOM: Final = ("prlimit", "--fsize=1")
# None has a lower number than those that every process has open.
_NO_FILES: Final = 3
_PIECE: Final = bytes(4096)


def _shell(redirected: str, *arguments: str) -> tuple[str, ...]:
    """What runs a command with its stderr redirected so; the first argument is `$0`."""
    return ("sh", "-c", f'exec "$@" 2{redirected}', *(arguments or ("sh",)))


@asynccontextmanager
async def _run_by(prefix: tuple[str, ...], site: Site, name: str) -> AsyncIterator[None]:
    process = site.processes[name]
    await site.stop(name)
    process.prefix = prefix
    try:
        await site.start(name)
    finally:
        process.prefix = ()
    yield


@asynccontextmanager
async def _unlogged(prefix: tuple[str, ...], site: Site, name: str) -> AsyncIterator[None]:
    async with _run_by(prefix, site, name):
        yield

        async def are_lost() -> bool:
            return await site.processes[name].metric("payments_log_lines_lost_total") > 0

        await eventually(are_lost)


@asynccontextmanager
async def _unread_log(site: Site, name: str) -> AsyncIterator[None]:
    """A pipe that is full, and whose reader sleeps."""
    pipe = site.platform.directory / f"unread-{name}"
    if not pipe.exists():
        os.mkfifo(pipe)
    end = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    try:
        with suppress(BlockingIOError):
            while True:
                os.write(end, _PIECE)
        async with _run_by(_shell('<>"$0"', str(pipe)), site, name):
            yield
    finally:
        os.close(end)


def _take_files(site: Site, process: psutil.Process) -> None:
    """What leads to servers ends, and nothing may be opened in its place."""
    _, hard = process.rlimit(psutil.RLIMIT_NOFILE)
    process.rlimit(psutil.RLIMIT_NOFILE, (_NO_FILES, hard))
    site.cut()


@asynccontextmanager
async def _no_files(site: Site, name: str) -> AsyncIterator[None]:
    """For a while, in which clients wait; afterwards it finds its way back by itself."""
    process = psutil.Process(site.processes[name].process_id)
    limits = process.rlimit(psutil.RLIMIT_NOFILE)
    _take_files(site, process)
    try:
        yield
    finally:
        process.rlimit(psutil.RLIMIT_NOFILE, limits)
    await site.start(name)


@asynccontextmanager
async def _no_files_any_more(site: Site, name: str) -> AsyncIterator[None]:
    """Until it is told to stop: whoever comes is let in by nobody."""
    site.is_stuck(name)
    _take_files(site, psutil.Process(site.processes[name].process_id))
    yield


FLAWS: Final[Mapping[str, Flaw]] = {
    "log full": partial(_unlogged, _shell(">/dev/full")),
    "log closed": partial(_unlogged, _shell(">&-")),
    "log unread": _unread_log,
    "disk full": partial(_unlogged, _NO_ROOM),
    "few files": partial(_run_by, _FEW_FILES),
    "no files": _no_files,
    "no files any more": _no_files_any_more,
}
