"""`payments run`: the whole platform in one terminal, on embedded servers or on real ones.

Servers start together, then the migrations run, then every process of ours starts together; it is
ready when each says so itself. Ctrl-C drains in order and exits 0. Whatever cannot be is said in
one sentence, and then the exit code is not 0.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Coroutine
from datetime import datetime
from typing import Final

import aiohttp
import click

from cli.status import table
from local.home import Home
from local.platform import Platform, RunSpec
from local.processes import crew
from local.program import StartError, is_free
from local.run_record import end_leftovers, is_running, read_record
from local.servers import prepare_stack
from process.settings import Settings, read_settings

_LEFTOVERS_END_SECONDS: Final = 10.0
# A terminal, make and timeout may each pass the same key press on.
_ONE_KEY_PRESS_SECONDS: Final = 1.0


@click.command("run")
@click.option("--demo", is_flag=True, help="Also send a gentle stream of mixed payments.")
def run(*, demo: bool) -> None:
    """Run the whole platform, supervised, until Ctrl-C."""
    settings = read_settings()
    home = Home.of(os.environ)
    try:
        home.prepare()
        with home.locked():
            _clear_the_ground(home, settings)
            code = asyncio.run(_run(home, settings, demo=demo))
    except StartError as error:
        click.echo(f"payments run: {error}", err=True)
        sys.exit(1)
    sys.exit(code)


def _clear_the_ground(home: Home, settings: Settings) -> None:
    """End what a killed run left behind, then see that the API's port is ours to take."""
    record = read_record(home)
    if record is not None and not is_running(record):
        left = end_leftovers(record, within_seconds=_LEFTOVERS_END_SECONDS)
        if left:
            click.echo(f"Ended what a killed run had left behind: {', '.join(left)}.")
    home.shorten_logs()
    if not is_free(settings.server.port, settings.server.host):
        raise StartError(
            f"The API cannot listen on {settings.server.host}:{settings.server.port}: the port is "
            "taken; set PAYMENTS_SERVER_PORT to another."
        )


async def _run(home: Home, settings: Settings, *, demo: bool) -> int:
    environment = dict(os.environ)
    platform = Platform(
        RunSpec(
            home=home,
            settings=settings,
            environment=environment,
            prepare=lambda: prepare_stack(home, settings, environment),
            processes=lambda around: crew(around, demo=demo),
            say=_say,
        )
    )
    click.echo(f"Starting in {home.directory} ...")
    return await live(platform, _stop_signal(platform))


async def live(platform: Platform, stop: asyncio.Event) -> int:
    """0 when all of it drained, 1 when something had to be killed. Raises `StartError`."""
    async with aiohttp.ClientSession() as http, asyncio.TaskGroup() as tasks:
        logs = tasks.create_task(platform.keep_logs_short())
        failure = await _up_until(stop, platform, tasks, http)
        logs.cancel()
        killed = await platform.take_down()
    if failure is not None:
        raise failure
    if killed:
        click.echo(f"Not drained in time, and killed: {', '.join(killed)}.", err=True)
        return 1
    click.echo("Everything has drained and stopped.")
    return 0


async def _up_until(
    stop: asyncio.Event,
    platform: Platform,
    tasks: asyncio.TaskGroup,
    http: aiohttp.ClientSession,
) -> StartError | None:
    """Bring the platform up and return when it is to stop; the reason, if it did not start."""
    started = time.monotonic()
    bring_up = tasks.create_task(_attempt(platform.bring_up(tasks, http)))
    stopped = tasks.create_task(stop.wait())
    await asyncio.wait({bring_up, stopped}, return_when=asyncio.FIRST_COMPLETED)
    failure: StartError | None = None
    if bring_up.done():
        failure = bring_up.result()
        if failure is None:
            click.echo(_welcome(platform, time.monotonic() - started))
            await stopped
    stopped.cancel()
    bring_up.cancel()
    await asyncio.wait({bring_up})
    return failure


async def _attempt(bring_up: Coroutine[None, None, None]) -> StartError | None:
    try:
        await bring_up
    except StartError as error:
        return error
    return None


def _stop_signal(platform: Platform) -> asyncio.Event:
    """Set by the first Ctrl-C, SIGTERM or closed terminal; a later one kills what is left."""
    stop = asyncio.Event()
    clock = asyncio.get_running_loop().time
    patient_until = 0.0

    def on_signal() -> None:
        nonlocal patient_until
        if not stop.is_set():
            click.echo("Draining; once more kills at once.")
            patient_until = clock() + _ONE_KEY_PRESS_SECONDS
            stop.set()
        elif clock() > patient_until:
            click.echo("Killing what is left.", err=True)
            platform.kill()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    return stop


def _say(text: str) -> None:
    click.echo(f"{datetime.now():%H:%M:%S} {text}")  # noqa: DTZ005 # the reader's own clock


def _welcome(platform: Platform, seconds: float) -> str:
    record = platform.record()
    if record is None:
        return ""
    account = '{"user_id": "user1", "initial_balance": 1000.00, "currency": "USD"}'
    return (
        f"Everything is ready after {seconds:.1f} s.\n\n{table(record)}\n\n"
        f"Open an account:\n\n"
        f"  curl -X POST {record.addresses.ingress}/api/v1/accounts \\\n"
        f"    -H 'Content-Type: application/json' \\\n"
        f"    -d '{account}'\n\n"
        f"Logs are in {platform.logs}. `payments status` shows this again; Ctrl-C drains and stops."
    )
