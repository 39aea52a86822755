"""`payments migrate up|down|status`: the schema of the configured database."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, TypeAlias

import asyncpg
import click

from cli.operator import where
from cli.signing import Signer, entered, signed
from process.settings import read_settings
from store.migrations import (
    Migration,
    MigrationError,
    history,
    migrate_down,
    migrate_up,
    newest_applied,
    read_migrations,
)
from store.pool import connect_single
from store.read.audit_log import ASKED, DONE, FAILED, Signature
from store.write.operators import sign

_Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

# From which on the audit log has what is asked here.
_SIGNED_FROM: Final = 27
_TARGET: Final = "/migrations"


@click.group("migrate")
def migrate() -> None:
    """Bring the database to the newest schema, or back."""


@migrate.command("up")
@signed()
def up(*, signer: Signer) -> None:
    """Apply every pending migration."""
    _run(partial(_up, signer=signer))


@migrate.command("down")
@click.option("--yes", is_flag=True, help="Do not ask.")
@signed()
def down(*, yes: bool, signer: Signer) -> None:
    """Take the newest migration back, with what only its tables and columns have."""
    _run(partial(_down, signer=signer, is_sure=yes))


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


async def _up(connection: _Connection, signer: Signer) -> None:
    """Nobody can be told beforehand, in a database that has no such table yet."""
    applied: list[Migration] = []
    try:
        applied = await migrate_up(connection, read_migrations())
    except (MigrationError, asyncpg.PostgresError):
        await _note(connection, signer.signature("migrate_up", _TARGET), FAILED)
        raise
    if applied:
        labels = [step.label for step in applied]
        await _note(connection, signer.signature("migrate_up", _TARGET, applied=labels), DONE)
    for step in applied:
        click.echo(f"applied {step.label}")
    if not applied:
        click.echo("nothing is pending")


async def _down(connection: _Connection, signer: Signer, *, is_sure: bool) -> None:
    """What was confirmed is taken back, or nothing: another may have been here meanwhile."""
    known = read_migrations()
    newest = await newest_applied(connection, known)
    if newest is None:
        click.echo("nothing is applied")
        return
    if not is_sure:
        click.confirm(_asked(newest), abort=True)
    signature = signer.signature("migrate_down", _TARGET, newest=newest.version)
    await _note(connection, signature, ASKED)
    try:
        await migrate_down(connection, known, meant=newest)
    except (MigrationError, asyncpg.PostgresError):
        await _note(connection, signature, FAILED)
        raise
    await _note(connection, signature, DONE)
    click.echo(f"took back {newest.label}")


def _asked(newest: Migration) -> str:
    lost = ", ".join(newest.loses)
    goes = f" What is in these is lost: {lost}." if lost else ""
    return f"{newest.label} is taken back from {where()}.{goes} Go on?"


async def _note(connection: _Connection, signature: Signature, outcome: str) -> None:
    if _SIGNED_FROM in await history(connection):
        await sign(connection, entered(signature, outcome))


async def _status(connection: _Connection) -> None:
    applied = await history(connection)
    for step in read_migrations():
        row = applied.get(step.version)
        state = "pending" if row is None else f"applied {row.applied_at:%Y-%m-%d %H:%M:%S} UTC"
        changed = row is not None and row.checksum != step.checksum
        click.echo(f"{step.label}  {state}{'  CHANGED since' if changed else ''}")
