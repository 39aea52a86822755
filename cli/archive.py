"""`payments archive`: months of history, out of the database and into files.

Exit code 3 says that a month was kept back, for whoever runs it by the clock.
"""

import asyncio
from datetime import datetime
from pathlib import Path
from typing import Final

import asyncpg
import click

from cli.instants import Instant
from cli.operator import Pool, database
from cli.signing import Signer, noted, signed
from process.settings import read_settings
from store.archive.archiving import Archive, Outcome
from store.partitions import InTheWay
from store.pool import long_reading
from store.queries import bound

EXIT_KEPT: Final = 3


@click.command("archive")
@click.option(
    "--before", type=Instant(), required=True, help="Months of payments that ended by then."
)
@click.option(
    "--to",
    "directory",
    type=click.Path(exists=True, file_okay=False, writable=True, resolve_path=True, path_type=Path),
    required=True,
    help="The folder to write to.",
)
@signed()
def archive(*, before: datetime, directory: Path, signer: Signer) -> None:
    """Write the history of old payments to files, and drop it from the database.

    Whole months by when their payments were made, if they are over and nobody is owed anything
    any more. The payments themselves and the ledger stay. It may be interrupted, and run again.
    """
    outcomes = asyncio.run(_archived(before, directory, signer))
    if not outcomes:
        click.echo(f"no month of history ends by {before:%Y-%m-%d %H:%M} UTC")
    if any(each.manifest is None for each in outcomes):
        raise SystemExit(EXIT_KEPT)


async def _archived(before: datetime, directory: Path, signer: Signer) -> list[Outcome]:
    outcomes: list[Outcome] = []

    def say(outcome: Outcome) -> None:
        outcomes.append(outcome)
        click.echo(_as_text(outcome))

    address = read_settings().database.address()
    signature = signer.signature("archive", "/history", before=before, directory=str(directory))
    async with (
        database("archive") as pool,
        long_reading(address, application_name="payments archive") as reading,
        noted(pool, signature),
    ):
        await _refuse_what_goes_on(pool, before)
        try:
            await Archive(pool, reading, directory).run(before, say)
        except (InTheWay, OSError, asyncpg.PostgresError) as error:
            raise click.ClickException(f"{error}: run it again, nothing is lost") from error
    return outcomes


async def _refuse_what_goes_on(pool: Pool, before: datetime) -> None:
    """What is made in a month that was taken out would have no place, nor be shown."""
    if not await pool.fetchval(*bound("is_history_over", before=before)):
        raise click.ClickException(
            f"--before {before:%Y-%m-%d %H:%M} UTC is not a day ago by the database's clock: only"
            " months that are over are archived, and nothing was done"
        )


def _as_text(outcome: Outcome) -> str:
    label = outcome.month.label
    if outcome.manifest is None:
        named = "".join(f"\n  payment {each.payment_id} {each.reason}" for each in outcome.in_use)
        return f"{label}: kept, somebody is owed something{named}"
    counted = ", ".join(f"{part.rows:,} {part.table}" for part in outcome.manifest.parts)
    return f"{label}: {counted} archived, {outcome.month.manifest}"
