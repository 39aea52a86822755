"""`payments migrate up|down|status`: the schema of the configured database."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import asyncpg
import click

from process.settings import read_settings
from store.migrations import (
    MigrationError,
    history,
    migrate_down,
    migrate_up,
    read_migrations,
)
from store.pool import connect_single

_Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@click.group("migrate")
def migrate() -> None:
    """Bring the database to the newest schema, or back."""


@migrate.command("up")
def up() -> None:
    """Apply every pending migration."""
    _run(_up)


@migrate.command("down")
def down() -> None:
    """Take the newest migration back."""
    _run(_down)


@migrate.command("status")
def show() -> None:
    """List the migrations and when each was applied."""
    _run(_status)


def _run(work: Callable[[_Connection], Awaitable[None]]) -> None:
    try:
        asyncio.run(_connected(work))
    except (MigrationError, asyncpg.PostgresError, OSError) as error:
        notes = "".join(f" ({note})" for note in getattr(error, "__notes__", []))
        click.echo(f"payments migrate: {error}{notes}", err=True)
        sys.exit(1)


async def _connected(work: Callable[[_Connection], Awaitable[None]]) -> None:
    address = read_settings().database.address()
    connection = await connect_single(address, application_name="payments migrate")
    try:
        await work(connection)
    finally:
        await connection.close()


async def _up(connection: _Connection) -> None:
    applied = await migrate_up(connection, read_migrations())
    for step in applied:
        click.echo(f"applied {step.label}")
    if not applied:
        click.echo("nothing is pending")


async def _down(connection: _Connection) -> None:
    step = await migrate_down(connection, read_migrations())
    click.echo("nothing is applied" if step is None else f"took back {step.label}")


async def _status(connection: _Connection) -> None:
    applied = await history(connection)
    for step in read_migrations():
        row = applied.get(step.version)
        state = "pending" if row is None else f"applied {row.applied_at:%Y-%m-%d %H:%M:%S} UTC"
        changed = row is not None and row.checksum != step.checksum
        click.echo(f"{step.label}  {state}{'  CHANGED since' if changed else ''}")
