"""Where a process shows its metrics: on a port of its own, though others have its environment."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

import aiohttp
import pytest

from local.program import free_port
from tests.support.fixtures.processes import Platform

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from process.addresses import DatabaseAddress, RedisAddress


@pytest.fixture
def platform(
    database: DatabaseAddress, redis_address: RedisAddress, tmp_path: Path
) -> Iterator[Platform]:
    """What an ingress needs, and no more."""
    platform = Platform(
        database=database,
        kafka="127.0.0.1:1",
        redis=redis_address,
        simulator_url="",
        directory=tmp_path,
        settings={
            "PAYMENTS_AUTH_MODE": "open",
            "PAYMENTS_SERVER_PORT": str(free_port()),
            "PAYMENTS_OBSERVABILITY_METRICS_PORTS": "2",
        },
    )
    yield platform
    platform.end()


async def statuses(port: object, *paths: str) -> list[int]:
    """What each is answered with."""
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        answers = [await session.get(path) for path in paths]
        return [answer.status for answer in answers]


@contextmanager
def two_ports() -> Iterator[int]:
    """The first of two in a row, for whoever names them and nobody who asks for any."""
    while True:
        first = free_port()
        with socket.socket() as held:
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                held.bind(("127.0.0.1", first + 1))
            except OSError:
                continue
            yield first
            return


async def test_two_ingresses_on_one_port_are_scraped_apart(platform: Platform) -> None:
    """The second takes the next port; beside payments there are no metrics then."""
    with two_ports() as port:
        named = {"PAYMENTS_OBSERVABILITY_METRICS_PORT": str(port)}
        one, other = (platform.process(name, "api", **named) for name in ("one", "other"))
        one.port, other.port = port, port + 1
        await one.start()
        await other.start()
    served = platform.settings["PAYMENTS_SERVER_PORT"]
    assert await statuses(served, "/health/ready", "/metrics", "/health") == [200, 404, 200]
    started = [await each.metric("payments_process_start_time_seconds") for each in (one, other)]
    assert 0 < started[0] < started[1]


async def test_a_taken_port_is_one_sentence(platform: Platform) -> None:
    """With what to do about it, and the exit code of settings that cannot be met."""
    process = platform.process(
        "schedule", "agents", "schedule", PAYMENTS_OBSERVABILITY_METRICS_PORTS="1"
    )
    with socket.create_server(("127.0.0.1", process.port)):
        process.launch()
        assert await process.ended() == 2
    assert process.said == (
        f"agents-schedule: the metrics cannot be served on 127.0.0.1: port {process.port} is taken;"
        " set PAYMENTS_OBSERVABILITY_METRICS_PORT to another, or"
        " PAYMENTS_OBSERVABILITY_METRICS_PORTS to how many from it on may be tried\n"
    )
