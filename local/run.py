"""One run of the platform, from a clear ground to the last process that has ended.

There is one way down, whether somebody asked for it or something failed: `live` takes down
whatever had been started by then, and only then says what failed.
"""

import asyncio
import signal
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Final

import aiohttp

from local.home import Home
from local.platform import Platform
from local.ports import claim, next_free, taken
from local.program import StartError, is_free
from local.run_record import end_leftovers, left_behind, read_record
from process.closing import end
from process.lifecycle import CLEANUP_S, told_to_stop
from process.settings import Settings

# What a run is sent to have the standby of its database take over.
FAIL_OVER: Final = signal.SIGUSR1


def clear_the_ground(home: Home, settings: Settings, say: Callable[[str], None]) -> None:
    """End what a killed run left behind."""
    record = read_record(home)
    if record is not None and (left := left_behind(record)):
        names = ", ".join(one.name for one in left)
        say(
            f"An earlier run (process {record.pid}) was killed, and what it had started went on"
            f" without it: {names}. Draining and ending it first ..."
        )
        drain_s = settings.server.shutdown_timeout_seconds + CLEANUP_S
        end_leftovers(left, within_seconds=drain_s)
        say(f"Ended what a killed run had left behind: {names}.")
    home.shorten_logs()


def with_port(settings: Settings, say: Callable[[str], None], *, may_differ: bool) -> Settings:
    """The settings, with a port that the API can listen on: the next free one, if it may differ.

    Raises `StartError` when it is taken. All other ports of a run may differ always: nobody has
    written them into a program.
    """
    host, port = settings.server.host, settings.server.port
    if is_free(port, host) and claim(port):
        return settings
    if not may_differ:
        raise StartError(
            f"The API cannot listen on {host}:{port}: {taken(port)}; set PAYMENTS_SERVER_PORT to"
            " another, or give --free-ports (`make run ARGS=--free-ports`)."
        )
    chosen = next_free(port + 1, host)
    say(f"The API listens on port {chosen} instead of {port}: {taken(port)}.")
    return replace(settings, server=settings.server.model_copy(update={"port": chosen}))


async def live(platform: Platform, stop: asyncio.Event, up: Callable[[float], None]) -> list[str]:
    """Until `stop` is set; the names of those that did not drain in time, and were killed.

    `up` is told after how many seconds everything was ready. Raises `StartError`.
    """
    async with aiohttp.ClientSession() as http, asyncio.TaskGroup() as tasks:
        asides = [
            tasks.create_task(platform.keep_logs_short()),
            tasks.create_task(platform.conduct_failovers()),
        ]
        failure = await _up_until(stop, tasks, platform.bring_up(tasks, http), up)
        await end(asides)
        killed = await platform.take_down()
    if failure is not None:
        raise failure
    return killed


async def _up_until(
    stop: asyncio.Event,
    tasks: asyncio.TaskGroup,
    bring_up: Coroutine[None, None, None],
    up: Callable[[float], None],
) -> StartError | None:
    """Return when the platform is to be taken down; the reason, if it did not start."""
    started = time.monotonic()
    rising = tasks.create_task(_attempt(bring_up))
    stopped = tasks.create_task(stop.wait())
    await asyncio.wait({rising, stopped}, return_when=asyncio.FIRST_COMPLETED)
    failure: StartError | None = None
    if rising.done():
        failure = rising.result()
        if failure is None:
            up(time.monotonic() - started)
            await stopped
    stopped.cancel()
    rising.cancel()
    await asyncio.wait({rising})
    return failure


async def _attempt(bring_up: Coroutine[None, None, None]) -> StartError | None:
    try:
        await bring_up
    except StartError as error:
        return error
    return None


def stopped_by_signal(platform: Platform, say: Callable[[str], None]) -> asyncio.Event:
    """Set by the first Ctrl-C, SIGTERM or closed terminal; a later one kills what is left."""
    stop = asyncio.Event()

    def drain() -> None:
        stop.set()
        say("Draining; once more kills at once.")

    def kill() -> None:
        platform.kill()
        say("Killing what is left.")

    loop = asyncio.get_running_loop()
    # In the loop, whose tasks wait for what is killed.
    told_to_stop(drain, again=lambda: loop.call_soon_threadsafe(kill))
    return stop
