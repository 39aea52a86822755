"""`payments reconcile`: a provider's settlement report against our books.

Run it over overlapping periods, such as the last three days every day: what moved near the end
of one report is judged by the next. Exit code 3 says that this report shows open breaks, for
whoever runs it by the clock.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final
from uuid import UUID

import click
from asyncpg.pool import PoolConnectionProxy
from rich.console import Console
from rich.table import Table

from cli.instants import Instant
from cli.operator import database
from cli.shown import shown
from cli.signing import Signer, entered, signed
from payments.money import Money
from payments.payment import Provider
from payments.reconciliation.breaks import BreakState, Run, TrackedBreak
from payments.reconciliation.differences import BreakType, Period, Reconciliation
from process.settings import Settings, read_settings
from providers.registry import NAMES, SECTIONS
from providers.settlements import ReportError, fetch_report, read_report
from store.read.audit_log import DONE
from store.read.found import first_of
from store.read.reconciliation import BreakFilters, breaks_page, entries_of
from store.write.operators import sign
from store.write.reconciliation import keep_run, resolve_break

EXIT_BREAKS: Final = 3
# A weekend in which nobody ran it, and a day of overlap.
_FETCHED: Final = timedelta(days=3)


@click.group("reconcile", invoke_without_command=True)
@click.option("--provider", type=click.Choice(NAMES), help="Whose report.")
@click.option(
    "--report",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The report as a CSV file; docs/providers.md names its columns.",
)
@click.option("--fetch", is_flag=True, help="Fetch the report (from the simulator).")
@click.option("--from", "start", type=Instant(), help="The period's start: needed with a file.")
@click.option("--to", "end", type=Instant(), help="The period's end, not in it: with a file.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a break.")
@signed()
@click.pass_context
def reconcile(  # noqa: PLR0913 - one parameter an option
    context: click.Context,
    *,
    provider: str | None,
    report: Path | None,
    fetch: bool,
    start: datetime | None,
    end: datetime | None,
    as_json: bool,
    signer: Signer,
) -> None:
    """Hold a provider's settlement report against our books, and keep what differs."""
    if context.invoked_subcommand is not None:
        return
    if provider is None or (report is None) == (not fetch):
        raise click.UsageError("Say whose report: --provider, and either --report FILE or --fetch.")
    now = datetime.now(UTC)
    if report is not None and (start is None or end is None):
        raise click.UsageError("A file does not say what it covers: give --from and --to.")
    period = Period(start or now - _FETCHED, end or now)
    if period.start >= period.end:
        raise click.UsageError("--from must be before --to.")
    run, count = asyncio.run(_run(Provider(provider), period, report, now, signer))
    _print(run.open, now, as_json=as_json)
    if not as_json:
        click.echo(
            f"{provider}, {period.start:%Y-%m-%d %H:%M} to {period.end:%Y-%m-%d %H:%M} UTC: {count}"
            f" movements, {len(run.new)} new breaks, {len(run.again)} known, {len(run.gone)} gone."
        )
    if run.open:
        raise SystemExit(EXIT_BREAKS)


@reconcile.command("list")
@click.option(
    "--state",
    type=click.Choice([*(state.value for state in BreakState), "any"]),
    default=BreakState.OPEN.value,
    help="Only those in this state (open).",
)
@click.option("--provider", type=click.Choice(NAMES), help="Only this provider's.")
@click.option("--type", "kind", type=click.Choice([kind.value for kind in BreakType]))
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, help="At most so many (50).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a break.")
def list_breaks(
    *, state: str, provider: str | None, kind: str | None, limit: int, as_json: bool
) -> None:
    """List breaks, the newest difference first."""
    filters = BreakFilters(
        state=None if state == "any" else BreakState(state),
        provider=Provider(provider) if provider else None,
        type=BreakType(kind) if kind else None,
    )
    _print(asyncio.run(_listed(filters, limit)), datetime.now(UTC), as_json=as_json)


@reconcile.command("resolve")
@click.argument("break_ids", type=click.UUID, nargs=-1, required=True)
@signed(must_say_why=True)
def resolve(*, break_ids: Sequence[UUID], signer: Signer) -> None:
    """Sign for breaks: they stay resolved while they look the same."""
    unknown = 0
    for break_id, tracked in asyncio.run(_resolved(break_ids, signer)):
        if tracked is None:
            unknown += 1
            click.echo(f"there is no break {break_id}", err=True)
        else:
            by = tracked.resolution.by if tracked.resolution else None
            click.echo(f"{break_id} is resolved by {by or 'a later report'}.")
    if unknown:
        raise SystemExit(1)


async def _run(
    provider: Provider, period: Period, report: Path | None, now: datetime, signer: Signer
) -> tuple[Run, int]:
    settings = read_settings(SECTIONS)
    try:
        text = await _report(settings, provider, period, report)
        theirs = [
            line for line in read_report(text) if period.start <= line.occurred_at < period.end
        ]
    except (ReportError, OSError, UnicodeDecodeError) as error:
        raise click.ClickException(f"the report cannot be used: {error}") from error
    named = ((line.kind, line.our_id) for line in theirs if line.our_id)
    signature = signer.signature(
        "reconcile",
        f"/reconciliation/{provider}",
        report=str(report) if report else "fetched",
        start=period.start,
        end=period.end,
    )
    async with _database() as connection:
        ours = await entries_of(connection, provider, period, named)
        found = Reconciliation(provider, period).breaks(ours, theirs)
        async with connection.transaction():
            await sign(connection, entered(signature))
            return await keep_run(connection, provider, period, found, now), len(theirs)


async def _report(
    settings: Settings, provider: Provider, period: Period, report: Path | None
) -> str:
    if report is not None:
        return await asyncio.to_thread(report.read_text, "utf-8")
    return await fetch_report(settings.providers[provider].base_url, provider, period)


async def _listed(filters: BreakFilters, limit: int) -> list[TrackedBreak]:
    async with _database() as connection:
        return await first_of(partial(breaks_page, connection, None, filters), limit)


async def _resolved(
    break_ids: Sequence[UUID], signer: Signer
) -> list[tuple[UUID, TrackedBreak | None]]:
    async with _database() as connection:
        return [(each, await _signed_for(connection, each, signer)) for each in break_ids]


async def _signed_for(
    connection: PoolConnectionProxy, break_id: UUID, signer: Signer
) -> TrackedBreak | None:
    now = datetime.now(UTC)
    async with connection.transaction():
        tracked = await resolve_break(connection, break_id, signer.actor, signer.reason, now)
        signature = signer.signature(
            "resolve_break",
            f"/api/v1/reconciliation/breaks/{break_id}",
            tenant_id=tracked.found.tenant_id if tracked else None,
        )
        await sign(connection, entered(signature, _outcome(tracked, now)))
    return tracked


def _outcome(tracked: TrackedBreak | None, now: datetime) -> str:
    if tracked is None:
        return "break_not_found"
    is_ours = tracked.resolution is not None and tracked.resolution.at == now
    return DONE if is_ours else "already_resolved"


@asynccontextmanager
async def _database() -> AsyncIterator[PoolConnectionProxy]:
    async with database("reconcile") as pool, pool.acquire() as connection:
        yield connection


def _print(breaks: Sequence[TrackedBreak], now: datetime, *, as_json: bool) -> None:
    if as_json:
        for each in breaks:
            click.echo(json.dumps(_object(each, now)))
        return
    if not breaks:
        return
    table = Table("id", "age", "type", "kind", "payment", "reference", "here", "there", "state")
    for each in breaks:
        found = each.found
        table.add_row(
            str(each.id),
            _age(each.age_s(now)),
            found.type.value,
            found.kind.value,
            str(found.payment_id or "-"),
            shown(found.reference or "-"),
            _side(found.here, found.status_here),
            _side(found.there, found.status_there),
            each.state.value,
        )
    Console().print(table)


def _object(each: TrackedBreak, now: datetime) -> dict[str, object]:
    found, resolution = each.found, each.resolution
    return {
        "id": str(each.id),
        "provider": found.provider,
        "type": found.type.value,
        "kind": found.kind.value,
        "payment_id": str(found.payment_id) if found.payment_id else None,
        "refund_id": str(found.refund_id) if found.refund_id else None,
        "reference": found.reference,
        "here": str(found.here) if found.here else None,
        "there": str(found.there) if found.there else None,
        "status_here": found.status_here,
        "status_there": found.status_there,
        "occurred_at": found.occurred_at.isoformat(),
        "age_seconds": round(each.age_s(now)),
        "state": each.state.value,
        "resolved_by": resolution.by if resolution else None,
        "resolution": resolution.reason if resolution else None,
    }


def _side(amount: Money | None, status: str | None) -> str:
    return f"{amount} {status}" if amount else "-"


def _age(seconds: float) -> str:
    """In its two largest units."""
    minutes = int(seconds // 60)
    days, hours = minutes // 1440, minutes // 60 % 24
    return f"{days} d {hours} h" if days else f"{hours} h {minutes % 60} m"
