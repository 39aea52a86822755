"""`payments lag`: how far each stage, slot and stream group is behind, measured here and now.

It asks the servers itself, so it tells the truth when every process of ours is dead. A
source that does not answer is named below the tables and hides nothing else.
"""

import asyncio
import sys
from contextlib import suppress
from typing import Final

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from lag import GroupState, LagExporter, LagTargets, StreamsReport, slots_read, tables_read
from process.settings import read_settings
from telemetry import logging as telemetry_logging

# Two measurements make a rate; a second apart they cost no patience.
_RATE_SECONDS: Final = 1.0
_WATCH_SECONDS: Final = 2.0
_PIPE_COLUMNS: Final = 120
_UNKNOWN: Final = "-"
_STATE_STYLES: Final = {
    GroupState.OK: "green",
    GroupState.WARNING: "yellow",
    GroupState.UNKNOWN: "magenta",
    GroupState.STALLED: "bold red",
    GroupState.REWIND: "bold red",
    GroupState.STOPPED: "red",
}
_WELL: Final = "well"
_KIBI: Final = 1024
_MINUTE: Final = 60
_HOUR: Final = 3600


@click.command("lag")
@click.option("--watch", is_flag=True, help="Refresh every 2 seconds until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object (a line a refresh).")
def lag(*, watch: bool, as_json: bool) -> None:
    """Show how far each stage, slot and stream group is behind."""
    settings = read_settings()
    targets = LagTargets(
        kafka=settings.kafka.address(),
        redis=settings.redis.address(),
        database=settings.database.address(),
        slots=slots_read(settings.outbox.source, settings.outbox.names),
        tables=tables_read(settings.outbox.source, settings.outbox.names),
        others=settings.lag.others,
    )
    # The tables say which source is away; its driver's own words would only cut them in two.
    telemetry_logging.configure("critical", "cli")
    show = _follow if watch else _once
    with suppress(KeyboardInterrupt):
        asyncio.run(show(targets, as_json=as_json))


async def _once(targets: LagTargets, *, as_json: bool) -> None:
    exporter = LagExporter(targets)
    try:
        await exporter.refresh()
        await asyncio.sleep(_RATE_SECONDS)
        report = await exporter.refresh()
    finally:
        await exporter.close()
    _print(report, as_json=as_json)


async def _follow(targets: LagTargets, *, as_json: bool) -> None:
    exporter = LagExporter(targets)
    try:
        if as_json:
            while True:
                _print(await exporter.refresh(), as_json=True)
                await asyncio.sleep(_WATCH_SECONDS)
        with Live(Text("measuring ..."), auto_refresh=False) as live:
            while True:
                live.update(tables(await exporter.refresh()), refresh=True)
                await asyncio.sleep(_WATCH_SECONDS)
    finally:
        await exporter.close()


def _print(report: StreamsReport, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(report.to_json().decode() + "\n")
        sys.stdout.flush()
    else:
        # Into a pipe or a file goes the whole width; a terminal says its own.
        width = None if sys.stdout.isatty() else _PIPE_COLUMNS
        Console(width=width).print(tables(report))


def tables(report: StreamsReport) -> RenderableType:
    """The report as people read it; empty parts are left out."""
    parts: list[RenderableType] = [
        table
        for table in (
            _groups(report),
            _slots(report),
            _redis(report),
            _waiting(report),
            _providers(report),
        )
        if table.row_count
    ]
    parts += [
        Text(f"{source.source} unavailable: {source.reason}", style="red")
        for source in report.unavailable
    ]
    return Group(*parts)


def _groups(report: StreamsReport) -> Table:
    table = _table("Consumer groups", "group topic", "state members messages oldest rate/s drained")
    for group in report.groups:
        table.add_row(
            Text(group.group),
            Text(group.topic),
            Text(group.state.value, style=_STATE_STYLES[group.state]),
            _count(group.members),
            _count(group.messages),
            duration(group.seconds),
            f"{group.per_second:,.1f}",
            duration(group.drain_seconds),
        )
    return table


def _slots(report: StreamsReport) -> Table:
    table = _table("Replication slots", "slot", "reader wal-status behind oldest safe-to-write")
    for slot in report.slots:
        table.add_row(
            slot.slot,
            Text("active", style="green") if slot.active else Text("none", style="red"),
            slot.wal_status,
            size(slot.bytes),
            duration(slot.seconds),
            size(slot.safe_wal_bytes),
        )
    return table


def _redis(report: StreamsReport) -> Table:
    table = _table("Redis stream groups", "group stream", "consumers messages pending oldest")
    for group in report.redis_groups:
        table.add_row(
            Text(group.group),
            group.stream,
            str(group.consumers),
            _count(group.messages),
            f"{group.pending:,}",
            duration(group.seconds),
        )
    return table


def _waiting(report: StreamsReport) -> Table:
    table = _table("Waiting in Postgres", "kind", "past-due oldest")
    for work in report.waiting:
        table.add_row(work.kind, f"{work.count:,}", duration(work.oldest_seconds))
    return table


def _providers(report: StreamsReport) -> Table:
    table = _table("Payment providers", "provider state stage reason", "since")
    for provider in report.providers:
        is_well = provider.state == _WELL
        table.add_row(
            provider.provider,
            Text(provider.state, style="green" if is_well else "bold red"),
            provider.stage,
            provider.reason or _UNKNOWN,
            duration((report.measured_at - provider.since).total_seconds()),
        )
    return table


def _table(title: str, names: str, figures: str) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 1))
    for column in names.split():
        table.add_column(column, overflow="fold")  # a narrow terminal breaks a name, never hides it
    for column in figures.split():
        table.add_column(column.replace("-", " "), justify="right", no_wrap=True)
    return table


def _count(number: int | None) -> str:
    return _UNKNOWN if number is None else f"{number:,}"


def duration(seconds: float | None) -> str:
    """Seconds as people say them, with two figures that matter: `0.4 s`, `3 m 20 s`, `5 h 2 m`."""
    if seconds is None:
        return _UNKNOWN
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), _MINUTE)
    if seconds < _HOUR:
        return f"{minutes} m {rest} s"
    return f"{minutes // _MINUTE} h {minutes % _MINUTE} m"


def size(count: int | None) -> str:
    """Bytes in the largest binary unit that leaves a whole number in front: `512 B`, `3.2 MiB`."""
    if count is None:
        return _UNKNOWN
    amount, units = float(count), ["B", "KiB", "MiB", "GiB", "TiB"]
    while amount >= _KIBI and len(units) > 1:
        amount /= _KIBI
        units.pop(0)
    return f"{amount:.0f} B" if units[0] == "B" else f"{amount:.1f} {units[0]}"
