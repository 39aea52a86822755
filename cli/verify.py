"""`payments verify`: where everything is that it asks, what it prints, and the exit code."""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

import aiohttp
import asyncpg
import click
from rich.console import Console

from cli.ledger import verified_at
from lag import LagExporter, LagTargets, slots_read, tables_read
from process.settings import read_settings
from providers.registry import SECTIONS
from store.pool import long_reading
from telemetry import logging as telemetry_logging
from verify.provider import ProviderJournal
from verify.report import as_json, as_tables, exit_code
from verify.run import Sources, verified
from verify.topics import kafka, redis_streams

if TYPE_CHECKING:
    from process.settings import Settings
    from verify.run import Verification

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
@click.option(
    "--archive",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Also read history that `payments archive` has written to this folder.",
)
def verify(
    *, json_wanted: bool, wait_s: float | None, ledger_file: str | None, archive: Path | None
) -> None:
    """Check every invariant there is, from the database, the topics and the provider's journal.

    Reads only, and may run while everything is at work. Exits 0 when all hold, 1 when something
    is violated, 2 when something could not be checked.
    """
    if ledger_file is not None:
        sys.exit(verified_at(Path(ledger_file) if ledger_file else None, as_json=json_wanted))
    settings = read_settings(SECTIONS)
    # What is away is said in the report; its driver's own words would only be said twice.
    telemetry_logging.configure("critical", "cli")
    try:
        found = asyncio.run(_verified(settings, wait_s, archive))
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        click.echo(f"payments verify: the database cannot be read: {error}", err=True)
        sys.exit(_EXIT_UNCHECKED)
    if json_wanted:
        click.echo(as_json(found.results, found.taken_at))
    else:
        width = None if sys.stdout.isatty() else _PIPE_COLUMNS
        Console(width=width).print(as_tables(found.results))
    sys.exit(exit_code(found.results))


async def _verified(settings: Settings, wait_s: float | None, archive: Path | None) -> Verification:
    simulator = settings.simulator
    address = f"http://{simulator.host}:{simulator.port}"
    asked = {each.base_url.rstrip("/") for each in settings.providers.values()}
    async with AsyncExitStack() as stack:
        database = long_reading(settings.database.address(), application_name="payments-verify")
        connection = await stack.enter_async_context(database)
        http = await stack.enter_async_context(aiohttp.ClientSession())
        targets = LagTargets(
            kafka=settings.kafka.address(),
            redis=settings.redis.address(),
            database=settings.database.address(),
            slots=slots_read(settings.outbox.source, settings.outbox.names),
            tables=tables_read(settings.outbox.source, settings.outbox.names),
        )
        exporter = LagExporter(targets)
        stack.push_async_callback(exporter.close)
        logs = {
            "kafka": kafka(settings.kafka.address()),
            "redis": redis_streams(settings.redis.address()),
        }
        sources = Sources(
            connection,
            exporter,
            source=settings.outbox.source,
            logs={sink: logs[sink] for sink in settings.outbox.names},
            journal=ProviderJournal(http, address) if address in asked else None,
        )
        kept_s = settings.outbox.retention_seconds
        return await verified(sources, outbox_retention_s=kept_s, wait_s=wait_s, archive=archive)
