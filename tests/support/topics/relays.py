"""Relays of a test: in this process, where metrics can be read, or as processes to be killed."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from prometheus_client import CollectorRegistry

from telemetry.metrics import Metrics
from tests.support.waiting import eventually
from topics.relay.relay import Relay, RelayOptions

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator

    from opentelemetry.trace import Tracer

    from process.addresses import DatabaseAddress
    from tests.support.topics.destinations import Destination

_ROOT = Path(__file__).parents[3]
# Its pauses grow while a broker is away.
_READY_WITHIN_S = 60.0


@dataclass
class Relays:
    """What the relays of one test share: a database, a destination, a slot of the server."""

    database: DatabaseAddress
    destination: Destination
    slot: str = field(default_factory=lambda: f"test_{uuid4().hex}")
    silence_seconds: float = 15.0
    reads_table: bool = False
    tracer: Tracer | None = None

    def options(self) -> RelayOptions:
        return RelayOptions(
            conninfo=self.database.conninfo("tests-relay"),
            slot=self.slot,
            silence_seconds=self.silence_seconds,
            reads_table=self.reads_table,
        )

    @asynccontextmanager
    async def running(self, *, is_standby: bool = False) -> AsyncIterator[RunningRelay]:
        """A relay in this process, ready inside the block and drained after it."""
        metrics = Metrics(CollectorRegistry())
        relay = Relay(self.options(), self.destination.sink(), metrics, time.time, self.tracer)
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(relay.run(stop))
            running = RunningRelay(self.destination.name, relay, metrics, stop, task)
            await eventually(lambda: relay.is_ready, within=_READY_WITHIN_S)
            assert running.is_active() is not is_standby
            yield running
            stop.set()

    @asynccontextmanager
    async def process(self, log: Path) -> AsyncIterator[Process]:
        """A relay as a process of its own; killed after the block if it still runs."""
        with log.open("ab") as file:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "topics.relay"),
                *("--sink", self.destination.name, "--slot", self.slot),
                cwd=_ROOT,
                env=os.environ | self.environment(),
                stderr=file,
            )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGKILL)
            await process.wait()

    def environment(self) -> dict[str, str]:
        database = self.database
        return {
            "PAYMENTS_DATABASE_HOST": database.host,
            "PAYMENTS_DATABASE_PORT": str(database.port),
            "PAYMENTS_DATABASE_STANDBYS": ",".join(
                f"{host}:{port}" for host, port in database.standbys
            ),
            "PAYMENTS_DATABASE_USER": database.user,
            "PAYMENTS_DATABASE_PASSWORD": database.password,
            "PAYMENTS_DATABASE_DATABASE": database.database,
            "PAYMENTS_OUTBOX_SOURCE": "table" if self.reads_table else "wal",
            **self.destination.environment(),
        }


@dataclass(frozen=True)
class RunningRelay:
    """A relay in this process and what it counts."""

    sink: str
    relay: Relay
    metrics: Metrics
    stop: asyncio.Event
    task: asyncio.Task[None]

    def abandon(self) -> None:
        """End the relay without draining it."""
        self.task.cancel()

    def value(self, name: str, **labels: str) -> float:
        found = self.metrics.registry.get_sample_value(
            f"payments_relay_{name}", {"sink": self.sink, **labels}
        )
        return found or 0.0

    def is_active(self) -> bool:
        return self.value("active") == 1.0


async def is_ready(log: Path, times: int = 1) -> bool:
    """Whether the log says so many times that a relay is ready."""
    return log.read_text().count('"message":"ready"') >= times
