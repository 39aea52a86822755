"""`payments disputes`: what payers take back at their providers, straight from the database."""

import asyncio
from functools import partial

import click
from rich.console import Console
from rich.table import Table

from cli.operator import database
from cli.shown import shown
from payments.dispute import Dispute
from payments.money import format_amount
from payments.standing import DisputeState
from store.read.disputes import DisputeFilters, disputes_page
from store.read.found import first_of
from topics.contracts.payloads import DisputeData


@click.group("disputes")
def disputes() -> None:
    """Look at disputes and reversals; they are answered at the provider."""


@disputes.command("list")
@click.option(
    "--state",
    type=click.Choice([*(state.value for state in DisputeState), "any"]),
    default=DisputeState.OPEN.value,
    help="Only those in this state (open).",
)
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, help="At most so many (50).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a dispute.")
def list_disputes(*, state: str, limit: int, as_json: bool) -> None:
    """List disputes, the newest first."""
    wanted = None if state == "any" else DisputeState(state)
    found = asyncio.run(_read(DisputeFilters(state=wanted), limit))
    if as_json:
        for each in found:
            click.echo(DisputeData.of(each).model_dump_json())
        return
    headings = ("id", "since", "provider", "reference", "kind", "state", "amount", "withdrawn")
    table = Table(*headings, "payment", "reason")
    for each in found:
        table.add_row(
            str(each.id),
            f"{each.created_at:%Y-%m-%d %H:%M:%S}",
            each.provider,
            shown(each.reference),
            each.kind.value,
            each.state.value,
            str(each.amount),
            format_amount(each.withdrawn_minor, each.amount.currency),
            str(each.payment_id),
            shown(each.reason or "-"),
        )
    Console().print(table)


async def _read(filters: DisputeFilters, limit: int) -> list[Dispute]:
    async with database("disputes") as pool, pool.acquire() as connection:
        return await first_of(partial(disputes_page, connection, None, filters), limit)
