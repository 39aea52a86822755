"""`payments run`: the whole platform in one terminal, on embedded servers or on real ones.

Servers start together, then the migrations run, then every process of ours starts together; it is
ready when each says so itself. Ctrl-C drains in order and exits 0. Whatever cannot be is said in
one sentence, and then the exit code is not 0.
"""

import asyncio
import os
import sys
from contextlib import suppress
from datetime import datetime

import click

from cli.status import table as shown
from local.forking import ForkServer, can_fork
from local.home import Home
from local.platform import Platform, RunSpec
from local.processes import modules_of, processes_of, processes_of_cluster, programs
from local.program import StartError
from local.run import FAIL_OVER, clear_the_ground, live, stopped_by_signal, with_port
from local.servers import StackSpec, prepare_stack
from process.settings import Settings, read_settings
from providers.registry import SECTIONS


@click.command("run")
@click.option("--demo", is_flag=True, help="Also send a gentle stream of mixed payments.")
@click.option("--free-ports", is_flag=True, help="Take the next free port if the API's is taken.")
@click.option(
    "--cluster",
    is_flag=True,
    help="Three brokers, a database with a standby, and two of every process of ours.",
)
def run(*, demo: bool, free_ports: bool, cluster: bool) -> None:
    """Run the whole platform, supervised, until Ctrl-C."""
    settings = read_settings(SECTIONS)
    home = Home.of(os.environ)
    try:
        home.prepare()
        with home.locked():
            clear_the_ground(home, settings, _tell)
            settings = with_port(settings, _tell, may_differ=free_ports)
            killed = asyncio.run(_run(home, settings, demo=demo, cluster=cluster))
    except StartError as error:
        _tell(f"payments run: {error}", err=True)
        sys.exit(error.exit_code)
    if killed:
        _tell(f"Not drained in time, and killed: {', '.join(killed)}.", err=True)
        sys.exit(1)
    _tell("Everything has drained and stopped.")


async def _run(home: Home, settings: Settings, *, demo: bool, cluster: bool) -> list[str]:
    # What `.env` says is in it by now; a process in another folder would look for it there.
    environment = {**os.environ, "PAYMENTS_ENV_FILE": ""}
    environment["PAYMENTS_SERVER_PORT"] = str(settings.server.port)
    sinks = settings.outbox.names
    table = processes_of_cluster(sinks) if cluster else processes_of(sinks=sinks)
    stack = StackSpec(home, settings, environment, _tell, is_cluster=cluster)
    platform = Platform(
        RunSpec(
            home=home,
            settings=settings,
            environment=environment,
            prepare=lambda: prepare_stack(stack),
            processes=lambda context: programs(context, table, demo=demo),
            say=_say,
            forks=ForkServer(modules_of(table), home.log("fork-server")) if can_fork() else None,
        )
    )
    _tell(f"Starting in {home.directory} ...")
    stop = stopped_by_signal(platform, _tell)
    asyncio.get_running_loop().add_signal_handler(FAIL_OVER, platform.ask_failover)
    return await live(platform, stop, lambda seconds: _tell(_welcome(platform, seconds)))


def _tell(text: str, *, err: bool = False) -> None:
    # A terminal that was closed, or a reader that died, ends nothing of what runs.
    with suppress(OSError):
        click.echo(text, err=err)


def _say(text: str) -> None:
    _tell(f"{datetime.now():%H:%M:%S} {text}")  # noqa: DTZ005 # the reader's own clock


def _welcome(platform: Platform, seconds: float) -> str:
    record = platform.record()
    if record is None:
        return ""
    account = '{"user_id": "user1", "initial_balance": 1000.00, "currency": "USD"}'
    return (
        f"Everything is ready after {seconds:.1f} s.\n\n{shown(record)}\n\n"
        f"Open an account:\n\n"
        f"  curl -X POST {record.addresses.ingress}/api/v1/accounts \\\n"
        f"    -H 'Content-Type: application/json' \\\n"
        f"    -d '{account}'\n\n"
        f"Logs are in {platform.logs}. `payments status` shows this again; Ctrl-C drains and stops."
    )
