"""Told to stop, every process ends: at any moment, and whatever has become of its servers."""

from __future__ import annotations

import asyncio
import random
import signal
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import orjson
import psutil
import pytest
import pytest_asyncio

from local.program import free_port
from tests.support.fixtures.kafka import broker
from tests.support.fixtures.postgres import fresh_database
from tests.support.fixtures.processes import OurProcess, Platform
from tests.support.front import front_of
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from process.addresses import DatabaseAddress, RedisAddress
    from tests.support.fixtures.simulator import SimulatorProcess

_PROCESSES: Final = {
    "api": ("api",),
    "relay-kafka": ("topics.relay", "--sink", "kafka"),
    "relay-redis": ("topics.relay", "--sink", "redis"),
    "charge": ("agents", "charge"),
    "dead-letters": ("agents", "dead-letters"),
    "schedule": ("agents", "schedule"),
    "notifications": ("agents", "notifications"),
    "simulator": ("simulator",),
}
# A start takes that long, on two cores that others use too.
_START_S: Final = 4.0


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def servers(
    postgres_server: DatabaseAddress,
    migrated_template: str,
    valkey_server: RedisAddress,
    simulator: SimulatorProcess,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Platform]:
    """A platform without any process."""
    directory = tmp_path_factory.mktemp("stopping")
    async with (
        fresh_database(postgres_server, f"TEMPLATE {migrated_template}") as database,
        broker(directory) as kafka,
    ):
        yield Platform(
            database=database,
            kafka=kafka,
            redis=valkey_server,
            simulator_url=simulator.url,
            directory=directory,
            settings={"PAYMENTS_SERVER_SHUTDOWN_TIMEOUT": "3s"},
        )


@pytest.fixture
def platform(servers: Platform, tmp_path: Path) -> Iterator[Platform]:
    """Its processes are the test's own."""
    own = replace(servers, directory=tmp_path)
    yield own
    own.end()


def listens_for_signals(process: OurProcess) -> bool:
    """Whether its own first instruction was run: until then the kernel ends it by itself."""
    status = Path(f"/proc/{process.process_id}/status").read_text()
    (caught,) = (line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


def assert_ended_well(process: OurProcess, code: int) -> None:
    assert code == 0, process.said[-3000:]
    assert "Traceback" not in process.said
    for line in process.said.splitlines():
        orjson.loads(line)


@pytest.mark.parametrize("name", _PROCESSES)
@pytest.mark.parametrize("seed", range(2))
async def test_told_to_stop_at_any_moment_it_ends(platform: Platform, name: str, seed: int) -> None:
    """From its first instruction until it is ready: exit 0, and not a word that alarms."""
    await _stopped_at(platform, name, random.Random(f"{name} {seed}").uniform(0, _START_S))


@pytest.mark.long
@pytest.mark.parametrize("name", _PROCESSES)
async def test_told_to_stop_at_many_moments_it_ends(platform: Platform, name: str) -> None:
    """As above, all the way through."""
    for step in range(40):
        await _stopped_at(platform, name, _START_S * step / 40)


def made(platform: Platform, name: str, **settings: str) -> OurProcess:
    """A process that listens on ports of its own."""
    process = platform.process(name, *_PROCESSES[name], **settings)
    process.environment = {
        "PAYMENTS_SERVER_PORT": str(free_port()),
        "PAYMENTS_AUTH_MODE": "open",
        "PAYMENTS_WEBHOOKS_PORT": str(free_port()),
        # It shows its health where it answers.
        "PAYMENTS_SIMULATOR_PORT": str(process.port),
        "PAYMENTS_SIMULATOR_JOURNAL": str(process.log.with_suffix(".jsonl")),
        **process.environment,
    }
    return process


async def _stopped_at(platform: Platform, name: str, seconds: float) -> None:
    process = made(platform, name)
    process.launch()
    await eventually(lambda: listens_for_signals(process))
    # The moment itself is what is tried: there is nothing to wait for.
    await asyncio.sleep(seconds)
    assert_ended_well(process, await process.drain())


@dataclass
class Cable:
    """What leads to a server, and can be pulled: it answers nobody, and nobody is told."""

    variables: dict[str, str]
    pull: Callable[[], None]


@asynccontextmanager
async def cable_to(server: str, servers: Platform) -> AsyncIterator[Cable]:
    if server == "kafka":
        # A client connects to whatever address the broker names, so it is frozen itself.
        port = int(servers.kafka.rpartition(":")[2])
        (listening,) = (
            psutil.Process(each.pid)
            for each in psutil.net_connections("tcp")
            if each.status == psutil.CONN_LISTEN and each.laddr[1:] == (port,)
        )
        try:
            yield Cable({}, listening.suspend)
        finally:
            listening.resume()
        return
    address = servers.database if server == "database" else servers.redis
    async with front_of(address.host, address.port) as front:
        yield Cable({f"PAYMENTS_{server.upper()}_PORT": str(front.port)}, front.go_dark)


@pytest.mark.parametrize(
    ("server", "begins"),
    [
        ("database", False),
        *(
            pytest.param(server, begins, marks=pytest.mark.long)
            for server in ("database", "redis", "kafka")
            for begins in (True, False)
            if (server, begins) != ("database", False)
        ),
    ],
)
async def test_a_server_that_went_dark_holds_up_no_end(
    platform: Platform, server: str, *, begins: bool
) -> None:
    """At work, or as it begins, every process ends when it is told to, with 0."""
    async with cable_to(server, platform) as cable:
        processes = [made(platform, name, **cable.variables) for name in _PROCESSES]
        if begins:
            cable.pull()
        for process in processes:
            process.launch()
        for process in processes:
            if begins:
                await eventually(process.is_alive, within=60)
            else:
                await process.until_ready()
        cable.pull()
        codes = await asyncio.gather(*(process.drain() for process in processes))
    for process, code in zip(processes, codes, strict=True):
        assert_ended_well(process, code)
