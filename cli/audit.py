"""`payments audit`: what operators did by hand, straight from the database.

It has what was done at the console, over the API with the scope `ops` and by these commands, of
every tenant and of none, refusals included.
"""

import asyncio
import json
import sys
from datetime import datetime
from functools import partial
from typing import Final

import click
from rich.console import Console
from rich.table import Table

from cli.instants import Instant
from cli.operator import database
from cli.shown import shown
from store.read.audit_log import AuditEntry, AuditSearch, asked_of, audit_log_of_all
from store.read.found import first_of

_PIPE_COLUMNS: Final = 160


@click.command("audit")
@click.option("--since", type=Instant(), help="Only what was written then or later (UTC).")
@click.option("--tenant", help="Only what was about this tenant.")
@click.option("--actor", help="Only what this one asked.")
@click.option("--action", help="Only this, like redrive_dead_letter.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, help="At most so many (50).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object an entry.")
def audit(
    *,
    since: datetime | None,
    tenant: str | None,
    actor: str | None,
    action: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """List what operators did by hand, the newest first."""
    search = AuditSearch(tenant_id=tenant, actor=actor, action=action, since=since)
    found = asyncio.run(_read(search, limit))
    if as_json:
        for entry in found:
            click.echo(json.dumps(_described(entry)))
        return
    table = Table("when", "who", "via", "tenant", "action", "target", "outcome", "reason")
    for column in table.columns:
        column.overflow = "fold"
    for entry in found:
        signature = entry.signature
        table.add_row(
            f"{entry.recorded_at:%Y-%m-%d %H:%M:%S}",
            shown(signature.actor),
            signature.via.value,
            shown(signature.concerns or "-"),
            signature.action,
            shown(signature.target),
            entry.outcome,
            shown(signature.reason or "-"),
        )
    width = None if sys.stdout.isatty() else _PIPE_COLUMNS
    Console(width=width).print(table)


async def _read(search: AuditSearch, limit: int) -> list[AuditEntry]:
    async with database("audit") as pool, pool.acquire() as connection:
        return await first_of(partial(audit_log_of_all, connection, search), limit)


def _described(entry: AuditEntry) -> dict[str, object]:
    signature = entry.signature
    return {
        "id": str(entry.id),
        "recorded_at": entry.recorded_at.isoformat(),
        "tenant_id": signature.concerns,
        "actor": signature.actor,
        "via": signature.via.value,
        "action": signature.action,
        "target": signature.target,
        "reason": signature.reason,
        "asked": asked_of(entry),
        "outcome": entry.outcome,
        "request_id": signature.request_id,
    }
