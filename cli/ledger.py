"""`payments ledger export|verify`: the journal of a tenant, taken out and held against its seals.

An export can be verified anywhere, without the database. Whoever could change rows and seals
alike is found by a digest kept elsewhere: verify with `--known` and an earlier export.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import asyncpg
import click

from cli.journal_file import JournalFile, JournalFileError, Title, lines_of, newest_seals
from payments.journal.audit import Audit
from payments.journal.seals import FORMAT
from process.settings import read_settings
from store.pool import long_reading
from store.read.journal import journal, sealed_up_to, verify_ledger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from payments.journal.audit import Problem
    from payments.journal.seals import Seal

_TENANT = click.option(
    "--tenant", "tenant_id", help="Only this tenant's; all tenants' unless said."
)


@click.group("ledger")
def ledger() -> None:
    """Export the ledger with its seals, and hold it against them."""


@ledger.command("export")
@_TENANT
@click.option(
    "--output", type=click.File("wb"), default="-", help="Where to; standard output unless said."
)
def export(*, tenant_id: str | None, output: BinaryIO) -> None:
    """Write the journal as JSON lines: rows by their ids, each seal after the last of its rows."""
    asyncio.run(_export(tenant_id, output))


@ledger.command("verify")
@click.argument("file", type=click.File("rb"), required=False)
@_TENANT
@click.option(
    "--known",
    type=click.File("rb"),
    help="An earlier export, kept where nobody could change it: its seals must still be there.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def verify(
    *, file: BinaryIO | None, tenant_id: str | None, known: BinaryIO | None, as_json: bool
) -> None:
    """Hold the ledger, or an exported FILE of it, against its seals.

    Exits 0 when all is as it was sealed, 1 when something is not, which is then named.
    """
    if file and tenant_id:
        raise click.UsageError("a file is verified whole: --tenant is for the database")
    sys.exit(verified(file, tenant_id=tenant_id, known=known, as_json=as_json))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verification found; `unreadable` says why a file was not read to its end."""

    rows: int
    seals: int
    unsealed: int
    problems: tuple[Problem, ...]
    unreadable: str | None = None

    @property
    def holds(self) -> bool:
        return not self.problems and self.unreadable is None


def verified(
    file: BinaryIO | None, *, tenant_id: str | None, known: BinaryIO | None, as_json: bool
) -> int:
    """Verify the file, or the database, and say what is wrong; the exit code."""
    audit = Audit(_known(known, tenant_id))
    if file:
        verdict = _of_file(JournalFile(file), audit)
    else:
        verdict = asyncio.run(_of_database(audit, tenant_id))
    click.echo(_as_json(verdict) if as_json else _as_text(verdict))
    return 0 if verdict.holds else 1


def verified_at(path: Path | None, *, as_json: bool) -> int:
    """Verify the file of that path, or the database, and say what is wrong; the exit code."""
    try:
        with path.open("rb") if path else nullcontext() as file:
            return verified(file, tenant_id=None, known=None, as_json=as_json)
    except FileNotFoundError as error:
        raise click.ClickException(f"there is no file {path}") from error


def _known(known: BinaryIO | None, tenant_id: str | None) -> dict[str, Seal]:
    if known is None:
        return {}
    try:
        seals = newest_seals(JournalFile(known))
    except JournalFileError as error:
        raise click.ClickException(f"{known.name}: {error}") from error
    return {each: seals[each] for each in seals if tenant_id in {None, each}}


def _of_file(file: JournalFile, audit: Audit) -> Verdict:
    problems: list[Problem] = []
    unreadable = None
    try:
        for item in file:
            problems.extend(audit.take(item))
    except JournalFileError as error:
        unreadable = str(error)
    problems.extend(audit.end(file.sealed_up_to))
    return _verdict(audit, problems, unreadable)


async def _of_database(audit: Audit, tenant_id: str | None) -> Verdict:
    async with _snapshot() as connection:
        return _verdict(audit, await verify_ledger(connection, audit, tenant_id))


async def _export(tenant_id: str | None, output: BinaryIO) -> None:
    title = Title(FORMAT, tenant_id, datetime.now(UTC))
    async with _snapshot() as connection:
        items = journal(connection, tenant_id)
        async for line in lines_of(title, items, await sealed_up_to(connection)):
            output.write(line)


@asynccontextmanager
async def _snapshot() -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """One moment of the database, for as long as it takes to read it."""
    address = read_settings().database.address()
    async with AsyncExitStack() as stack:
        opened = long_reading(address, application_name="payments ledger")
        try:
            connection = await stack.enter_async_context(opened)
        except (OSError, asyncpg.PostgresError) as error:
            raise click.ClickException(f"the database cannot be reached: {error}") from error
        try:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                yield connection
        except asyncpg.UndefinedTableError as error:
            raise click.ClickException(f"{error}: run `payments migrate up`") from error


def _verdict(audit: Audit, problems: Iterable[Problem], unreadable: str | None = None) -> Verdict:
    return Verdict(audit.rows, audit.seals, audit.unsealed, tuple(problems), unreadable)


def _as_json(verdict: Verdict) -> str:
    return json.dumps({"holds": verdict.holds, **asdict(verdict)})


def _as_text(verdict: Verdict) -> str:
    wrong = [*map(str, verdict.problems), *filter(None, [verdict.unreadable])]
    is_sealed = f"{verdict.rows - verdict.unsealed:,} rows in {verdict.seals:,} seals"
    waiting = f"{verdict.unsealed:,} rows wait for their seal"
    if wrong:
        return "\n".join([*wrong, f"{len(wrong):,} wrong among {is_sealed}; {waiting}."])
    return f"{is_sealed} are as they were sealed; {waiting}."
