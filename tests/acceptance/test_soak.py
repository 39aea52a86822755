"""An hour at half of what it can: nothing grows but what is recorded.

`PAYMENTS_SOAK_SECONDS` says how long if not an hour.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Final

import psutil
import pytest

from bench.load import Load, generated
from bench.target import Target
from tests.support.acceptance.client import client_of
from tests.support.acceptance.running import Installation

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.support.acceptance.client import Json

_SECONDS: Final = float(os.environ.get("PAYMENTS_SOAK_SECONDS", "3600"))
_WINDOW_S: Final = 30.0
# Two cores end 400 to 900 a second.
_RATE: Final = 200.0
# Buffers, pools and heaps are as large as the largest burst has made them, and stay so: at first
# it gets as much as it can take, or the first burst later on would look like a leak.
_PRESSED_S: Final = 60.0
_PRESSED_CONNECTIONS: Final = 64
# What a stall of some seconds leaves behind: all at once, and refused in part.
_STALLED_S: Final = 5.0
_STALLED_RATE: Final = 2_000.0
_ACCOUNTS: Final = 200
# It remembers every payment, as a vendor does; since it does so in a file no hour has been seen.
_REMEMBERS: Final = {"simulator"}
# Of the first quarter, when all that is filled by need has been filled, and of the last.
_GROWTH_MAX: Final = 1.2
_LATENCY_GROWTH_MAX: Final = 3.0
_OURS: Final = "payments-"
# Five seconds of what comes in, over all stages.
_LAG_MAX: Final = 1_000
_SERVER_SESSIONS: Final = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
_PARTITIONS: Final = "SELECT count(*) FROM pg_inherits"


@dataclass(frozen=True, slots=True)
class Sample:
    """One window: bytes and open files by process, and what the servers and clients saw.

    Connections to providers, and from them, are not among the files: there are as many as calls
    were under way at once, and when these were fewer for a while, they are closed.
    """

    memory: dict[str, int]
    files: dict[str, int]
    sessions: int
    partitions: int
    lag: int
    answer_p99_ms: float


@pytest.mark.long
async def test_nothing_grows_at_half_of_what_it_can(tmp_path: Path) -> None:
    """Memory, files, connections, partitions, lag and latency are at the end as they were."""
    installation = Installation.in_folder(tmp_path)
    try:
        await installation.start()
        samples = await _soaked(installation)
        quarter = max(2, len(samples) // 4)
        _assert_flat(samples[1 : quarter + 1], samples[-quarter:])
        await installation.assert_sound()
        assert await installation.interrupt() == 0
    finally:
        installation.end()


async def _soaked(installation: Installation) -> list[Sample]:
    target = Target(installation.record)
    accounts = await target.accounts(_ACCOUNTS)
    samples = []
    for pressed in (
        Load(installation.url, accounts, _PRESSED_S, connections=_PRESSED_CONNECTIONS),
        Load(installation.url, accounts, _STALLED_S, rate=_STALLED_RATE),
    ):
        await generated(pressed)
        await target.at_rest()
    async with client_of(installation.url) as client:
        for number in range(max(6, round(_SECONDS / _WINDOW_S))):
            load = Load(installation.url, accounts, _WINDOW_S, rate=_RATE, seed=number)
            outcome = await generated(load)
            assert outcome.statuses.keys() == {"202"}, outcome.statuses
            streams = (await client.get("/api/v1/streams")).body
            samples.append(await _sample(installation, target, outcome.answer_p99_ms, streams))
    return samples


async def _sample(
    installation: Installation, target: Target, answer_p99_ms: float, streams: Json
) -> Sample:
    memory, files, servers = {}, {}, _server_ports(installation)
    for each in installation.record.processes:
        if each.pid is not None and not each.stop_group.is_of_servers:
            process = psutil.Process(each.pid)
            memory[each.name] = process.memory_info().rss
            files[each.name] = process.num_fds() - _to_strangers(process, servers)
    async with target.connected() as connection:
        sessions = await connection.fetchval(_SERVER_SESSIONS)
        partitions = await connection.fetchval(_PARTITIONS)
    lag = sum(
        each["messages"] or 0 for each in streams["groups"] if each["group"].startswith(_OURS)
    )
    return Sample(memory, files, int(sessions), int(partitions), lag, answer_p99_ms)


def _server_ports(installation: Installation) -> set[int]:
    told = installation.record.environment
    ports = [told["PAYMENTS_DATABASE_PORT"], told["PAYMENTS_REDIS_PORT"]]
    brokers = told["PAYMENTS_KAFKA_BOOTSTRAP_SERVERS"].split(",")
    return {int(each) for each in (*ports, *(broker.rpartition(":")[2] for broker in brokers))}


def _to_strangers(process: psutil.Process, servers: set[int]) -> int:
    """How many connections it has with others than the servers under it."""
    connections = process.net_connections("inet")
    established = [each for each in connections if each.status == psutil.CONN_ESTABLISHED]
    return len([each for each in established if each.raddr.port not in servers])


def _assert_flat(first: Sequence[Sample], last: Sequence[Sample]) -> None:
    grown = {
        f"{what} of {name}": (before, after)
        for what in ("memory", "files")
        for name in getattr(first[0], what).keys() - _REMEMBERS
        if (after := median(getattr(each, what)[name] for each in last))
        > _GROWTH_MAX * (before := median(getattr(each, what)[name] for each in first))
    }
    assert not grown, grown
    assert max(each.sessions for each in last) <= max(each.sessions for each in first) + 2
    # A day's are made ahead of it, whatever comes in.
    assert last[-1].partitions <= first[0].partitions + 4
    assert median(each.lag for each in last) <= _LAG_MAX
    latencies = [median(each.answer_p99_ms for each in part) for part in (first, last)]
    assert latencies[1] <= _LATENCY_GROWTH_MAX * latencies[0], latencies
