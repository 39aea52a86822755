"""The command itself: where everything is, in which order it is read, and the exit code.

First the database in one snapshot, then the relays get a moment to pass it on, then
the topics and the provider's journal are read, which may be newer and are judged so.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import aiohttp
import asyncpg
import click
from aiokafka.errors import KafkaError
from prometheus_client import CollectorRegistry
from redis.exceptions import RedisError
from rich.console import Console

from cli.ledger import verified_at
from lag import LagExporter, LagTargets
from process.settings import read_settings
from telemetry import logging as telemetry_logging
from telemetry.metrics import Metrics
from topics.names import PUBLIC_TOPICS, TOPICS
from verify import provider
from verify.database import connected, taken
from verify.invariants import CheckResult
from verify.messages import compare
from verify.quiescence import Rest, lag_finding
from verify.report import as_json, as_tables, exit_code
from verify.topics import kafka, redis_streams

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractAsyncContextManager

    from process.settings import Settings
    from topics.names import Topic
    from verify.database import Connection, Snapshot
    from verify.invariants import Violation
    from verify.topics import Log

_EXIT_UNCHECKED: Final = 2
_PIPE_COLUMNS: Final = 120
# What `--ledger` without a file means: no file has this name.
_THE_DATABASE: Final = ""


@click.command("verify")
@click.option("--json", "json_wanted", is_flag=True, help="Print one JSON object.")
@click.option(
    "--wait",
    "wait_s",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="First wait, so long at most, until nothing is in flight; what is then is a violation.",
)
@click.option(
    "--ledger",
    "ledger_file",
    is_flag=False,
    flag_value=_THE_DATABASE,
    metavar="[FILE]",
    help="Instead hold the ledger, or an export of it, against its seals (`payments ledger`).",
)
def verify(*, json_wanted: bool, wait_s: float | None, ledger_file: str | None) -> None:
    """Check every invariant there is, from the database, the topics and the provider's journal.

    Reads only, and may run while everything is at work. Exits 0 when all hold, 1 when something
    is violated, 2 when something could not be checked.
    """
    if ledger_file is not None:
        sys.exit(verified_at(Path(ledger_file) if ledger_file else None, as_json=json_wanted))
    settings = read_settings()
    # What is away is said in the report; its driver's own words would only be said twice.
    telemetry_logging.configure("critical", "cli")
    try:
        checked = asyncio.run(_checked(settings, wait_s))
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        click.echo(f"payments verify: the database cannot be read: {error}", err=True)
        sys.exit(_EXIT_UNCHECKED)
    if json_wanted:
        click.echo(as_json(checked.findings, checked.taken_at))
    else:
        width = None if sys.stdout.isatty() else _PIPE_COLUMNS
        Console(width=width).print(as_tables(checked.findings))
    sys.exit(exit_code(checked.findings))


@dataclass(frozen=True, slots=True)
class Checked:
    """Everything that was found, and of which moment."""

    findings: tuple[CheckResult, ...]
    taken_at: datetime


async def _checked(settings: Settings, wait_s: float | None) -> Checked:
    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(connected(settings.database.address()))
        http = await stack.enter_async_context(aiohttp.ClientSession())
        targets = LagTargets(
            bootstrap_servers=settings.kafka.bootstrap_servers,
            redis_url=f"redis://{settings.redis.host}:{settings.redis.port}",
            database=settings.database.address(),
        )
        exporter = LagExporter(targets, Metrics(CollectorRegistry()))
        stack.push_async_callback(exporter.close)
        run = Run(settings, connection, http, exporter)
        return await run.checked(wait_s)


@dataclass(frozen=True, slots=True)
class Run:
    """One verification, with everything it asks."""

    settings: Settings
    connection: Connection
    http: aiohttp.ClientSession
    exporter: LagExporter

    async def checked(self, wait_s: float | None) -> Checked:
        """Check everything. Raises what asyncpg raises, and nothing else."""
        rest = Rest(self.connection, self.exporter)
        restless: tuple[Violation, ...] = ()
        if wait_s is not None:
            restless = await rest.within(wait_s)
        retention_s = self.settings.outbox.retention_seconds
        snapshot = await taken(self.connection, outbox_retention_s=retention_s)
        behind = await rest.relays_reached(snapshot.written)
        findings = [
            *snapshot.findings,
            *await self._compared(snapshot, behind),
            await self._charged(snapshot),
            lag_finding(await self.exporter.refresh(), behind),
        ]
        if wait_s is not None:
            findings.append(CheckResult("I13", "rest", len(restless), restless))
        return Checked(tuple(findings), datetime.now(UTC))

    async def _compared(self, snapshot: Snapshot, behind: Sequence[Violation]) -> list[CheckResult]:
        address, cache = self.settings.kafka.bootstrap_servers, self.settings.redis
        slots = {each.subject.removeprefix("slot payments_"): each.problem for each in behind}
        return [
            *await self._log(kafka(address), "kafka", TOPICS, (snapshot, slots.get("kafka"))),
            *await self._log(
                redis_streams(cache.host, cache.port),
                "redis",
                PUBLIC_TOPICS,
                (snapshot, slots.get("redis")),
            ),
        ]

    async def _log(
        self,
        opened: AbstractAsyncContextManager[Log],
        name: str,
        topics: Sequence[Topic],
        state: tuple[Snapshot, str | None],
    ) -> list[CheckResult]:
        """Compare one log; when it is away, nothing can be told about it."""
        snapshot, behind = state
        why = f"its relay {behind}" if behind else None
        try:
            async with opened as log:
                comparison, memory = await compare(log, [each.name for each in topics], snapshot)
        except (KafkaError, RedisError, OSError) as error:
            away = str(error) or type(error).__name__
            return [CheckResult(each, name, unchecked=away) for each in ("I7", "I8", "I14")]
        return await comparison.findings(self.connection, memory, behind=why)

    async def _charged(self, snapshot: Snapshot) -> CheckResult:
        simulator = self.settings.simulator
        address = f"http://{simulator.host}:{simulator.port}"
        asked = {self.settings.stripe.base_url.rstrip("/"), self.settings.paypal.base_url}
        if address not in asked:
            return CheckResult("I4", "provider", unchecked="no simulator is asked", excused=True)
        try:
            return await provider.finding(self.connection, self.http, address, snapshot.charges)
        except (aiohttp.ClientError, OSError) as error:
            return CheckResult(
                "I4", "provider", unchecked=f"the simulator does not answer: {error}"
            )
