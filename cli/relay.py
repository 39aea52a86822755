"""`payments relay`: what each relay has published, what it set aside, and what it is asked to do.

It asks the database alone, so it tells what is so when no relay runs. What it asks of a relay is
written there with who and why, and done by the relay within a second or two.
"""

import asyncio
import json
import sys
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg
import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli.operator import Pool, actor, database
from store.queries import bound, query
from topics.names import SLOTS, TOPICS

_PIPE_COLUMNS: Final = 160
_WAIT_S: Final = 10.0
_LOOK_AGAIN_S: Final = 0.2

_sink = click.option("--sink", type=click.Choice(sorted(SLOTS)), required=True, help="Whose relay.")
_topic = click.option("--topic", type=click.Choice([topic.name for topic in TOPICS]))
_reason = click.option("--reason", required=True, help="Why; kept with what is asked.")
_actor = click.option("--actor", default=actor)


@click.group("relay")
def relay() -> None:
    """See what the relays do, pause them, send messages again, decide on what a sink refuses."""


@relay.command("status")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a sink.")
def status(*, as_json: bool) -> None:
    """Show each sink's slot, last checkpoint, and what waits for somebody."""
    rows = asyncio.run(_fetched("relay_status"))
    if as_json:
        for row in rows:
            click.echo(json.dumps(dict(row), default=str))
        return
    table = Table("sink", "slot", "state", "behind", "WAL", "checkpoint", "set aside", "asked")
    for row in rows:
        table.add_row(
            row["sink"],
            row["slot"] or "-",
            _state(row),
            "-" if row["behind_bytes"] is None else f"{row['behind_bytes']:,} B",
            row["wal_status"] or "-",
            f"{row['checkpoint_at']:%Y-%m-%d %H:%M:%S}" if row["checkpoint_at"] else "-",
            str(row["set_aside"]),
            str(row["commands_waiting"]),
        )
    _console().print(table)


@relay.command("set-aside")
@click.option("--sink", type=click.Choice(sorted(SLOTS)), help="Only this one's.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, help="At most so many (50).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a message.")
def set_aside(*, sink: str | None, limit: int, as_json: bool) -> None:
    """List what a sink refused, and what waits behind it, by key in order."""
    rows = asyncio.run(_fetched("relay_set_aside_listed", sink=sink, rows_max=limit))
    if as_json:
        for row in rows:
            click.echo(json.dumps(dict(row), default=str))
        return
    table = Table("id", "sink", "topic", "key", "since", "bytes", "why")
    for row in rows:
        table.add_row(
            *(str(row[name]) for name in ("id", "sink", "topic", "key")),
            f"{row['set_aside_at']:%Y-%m-%d %H:%M:%S}",
            f"{row['bytes']:,}",
            escape(row["reason"] or "waits behind it"),
        )
    _console().print(table)


@relay.command("pause")
@_sink
@_reason
@_actor
def pause(*, sink: str, reason: str, actor: str) -> None:
    """Publish nothing until it is told to resume; the WAL is kept meanwhile."""
    _ask(sink, "pause", reason=reason, actor=actor)


@relay.command("resume")
@_sink
@_reason
@_actor
def resume(*, sink: str, reason: str, actor: str) -> None:
    """Publish again, from where it was paused."""
    _ask(sink, "resume", reason=reason, actor=actor)


@relay.command("rebuild")
@_sink
@_topic
@_reason
@_actor
def rebuild(*, sink: str, topic: str | None, reason: str, actor: str) -> None:
    """Compare all of a topic, or of all topics, with the table, and publish what is missing."""
    _ask(sink, "rebuild", reason=reason, actor=actor, topic=topic)


@relay.command("replay")
@_sink
@_topic
@click.option("--key", help="Only messages with this key.")
@click.option("--from", "first_at", type=click.DateTime(), help="Recorded then or later (UTC).")
@click.option("--to", "end_at", type=click.DateTime(), help="Recorded before then (UTC).")
@_reason
@_actor
def replay(  # noqa: PLR0913 - one parameter an option
    *,
    sink: str,
    topic: str | None,
    key: str | None,
    first_at: datetime | None,
    end_at: datetime | None,
    reason: str,
    actor: str,
) -> None:
    """Send messages once more, as they were: who reads them sees their ids again."""
    _ask(
        sink, "replay", reason=reason, actor=actor,
        topic=topic, key=key, first_at=_utc(first_at), end_at=_utc(end_at),
    )  # fmt: skip


@relay.command("retry")
@click.argument("message_id", type=click.UUID)
@_sink
@_reason
@_actor
def retry(*, message_id: UUID, sink: str, reason: str, actor: str) -> None:
    """Send a message that was set aside again, and then what waits behind it."""
    _ask(sink, "retry", reason=reason, actor=actor, message_id=message_id)


@relay.command("skip")
@click.argument("message_id", type=click.UUID)
@_sink
@_reason
@_actor
def skip(*, message_id: UUID, sink: str, reason: str, actor: str) -> None:
    """Never send a message that was set aside to this sink; send what waits behind it."""
    _ask(sink, "skip", reason=reason, actor=actor, message_id=message_id)


@relay.command("drop")
@_sink
@click.confirmation_option(prompt="What the sink has will not be known any more. Go on?")
def drop(*, sink: str) -> None:
    """Drop the slot of a sink that no relay serves any more, and what is kept of it."""
    asyncio.run(_dropped(sink))
    click.echo(f"{sink} has no slot any more; a relay that is started for it compares everything")


def _console() -> Console:
    return Console() if sys.stdout.isatty() else Console(width=_PIPE_COLUMNS)


def _state(row: asyncpg.Record) -> str:
    if row["slot"] == "":
        return "reads the table"
    if row["wal_status"] is None:
        return "has no slot"
    if row["wal_status"] == "lost":
        return "lost"
    if not row["is_active"]:
        return "nobody reads it"
    if row["is_paused"]:
        return "paused"
    return "fills a gap" if row["has_gap"] else "publishes"


def _utc(when: datetime | None) -> datetime | None:
    return None if when is None else datetime.fromisoformat(f"{when.isoformat()}+00:00")


async def _fetched(statement: str, **arguments: object) -> list[asyncpg.Record]:
    async with database("relay") as pool:
        return list(await pool.fetch(*bound(statement, **arguments)))


def _ask(sink: str, command: str, **arguments: object) -> None:
    empty = dict.fromkeys(("topic", "key", "first_at", "end_at", "message_id"))
    outcome = asyncio.run(_asked(sink=sink, command=command, **{**empty, **arguments}))
    click.echo(outcome or f"asked: the relay of {sink} does it when it runs")


async def _asked(**arguments: object) -> str | None:
    """What the relay did, or None if it has done nothing yet."""
    async with database("relay") as pool:
        id_ = await pool.fetchval(*bound("ask_relay", **arguments))
        if id_ is None:
            raise click.ClickException(f"no relay of {arguments['sink']} ever ran here")
        try:
            async with asyncio.timeout(_WAIT_S):
                return await _outcome(pool, id_)
        except TimeoutError:
            return None


async def _outcome(pool: Pool, id_: int) -> str:
    while True:
        row = await pool.fetchrow(*bound("relay_command", id=id_))
        if row is not None and row["done_at"] is not None:
            return str(row["outcome"])
        await asyncio.sleep(_LOOK_AGAIN_S)


async def _dropped(sink: str) -> None:
    async with database("relay") as pool:
        try:
            await pool.execute(*bound("drop_idle_slot", sink=sink))
        except asyncpg.ObjectInUseError as error:
            raise click.ClickException(f"a relay reads it: {error}") from error
        if await pool.fetchval(*bound("forget_sink", sink=sink)) is None:
            known = await pool.fetch(query("relay_status"))
            is_known = any(row["sink"] == sink for row in known)
            why = "a relay reads its slot" if is_known else f"no relay of {sink} ever ran here"
            raise click.ClickException(why)
