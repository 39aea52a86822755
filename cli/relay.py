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
from asyncpg.pool import PoolConnectionProxy
from rich.console import Console
from rich.table import Table

from cli.operator import Pool, database, where
from cli.shown import shown
from cli.signing import Signer, entered, noted, signed
from process.settings import read_settings
from store.queries import bound
from store.write.operators import RelayCommand, RelayOrder, ask_relay
from topics.names import CARRIED, SLOTS, TOPICS

_PIPE_COLUMNS: Final = 200
_WAIT_S: Final = 10.0
_LOOK_AGAIN_S: Final = 0.2
# A relay says every ten seconds that it has its sink; one that begins again has it within these.
_GONE_AFTER_S: Final = 60.0
# As the audit log has them.
_ACTIONS: Final = {
    RelayCommand.PAUSE: "pause_relay",
    RelayCommand.RESUME: "resume_relay",
    RelayCommand.REBUILD: "rebuild_relay",
    RelayCommand.REPLAY: "replay_relay",
    RelayCommand.RETRY: "retry_set_aside",
    RelayCommand.SKIP: "skip_set_aside",
}

_sink = click.option("--sink", type=click.Choice(sorted(SLOTS)), required=True, help="Whose relay.")
_topic = click.option("--topic", type=click.Choice([topic.name for topic in TOPICS]))
_signed = signed(must_say_why=True)


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
    sinks = read_settings().outbox.names
    table = Table(
        *("sink", "slot", "state", "behind", "WAL", "seen", "checkpoint", "set aside", "asked")
    )
    for row in rows:
        table.add_row(
            row["sink"],
            row["slot"] or "-",
            _state(row) if row["sink"] in sinks else f"given up: {_state(row)}",
            _behind(row),
            row["wal_status"] or "-",
            _time(row["seen_at"]),
            _time(row["checkpoint_at"]),
            str(row["set_aside"]),
            str(row["commands_waiting"]),
        )
    for sink in sinks:
        if sink not in {row["sink"] for row in rows}:
            table.add_row(sink, "-", "never ran", *["-"] * 6)
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
            *(shown(str(row[name])) for name in ("id", "sink", "topic", "key")),
            f"{row['set_aside_at']:%Y-%m-%d %H:%M:%S}",
            f"{row['bytes']:,}",
            shown(row["reason"] or "waits behind it"),
        )
    _console().print(table)


@relay.command("pause")
@_sink
@_signed
def pause(*, sink: str, signer: Signer) -> None:
    """Publish nothing until it is told to resume; the WAL is kept meanwhile.

    Nor what fills a gap, and whatever else is asked of it waits until then.
    """
    _ask(RelayOrder(sink=sink, command=RelayCommand.PAUSE), signer)


@relay.command("resume")
@_sink
@_signed
def resume(*, sink: str, signer: Signer) -> None:
    """Publish again, from where it was paused."""
    _ask(RelayOrder(sink=sink, command=RelayCommand.RESUME), signer)


@relay.command("rebuild")
@_sink
@_topic
@_signed
def rebuild(*, sink: str, topic: str | None, signer: Signer) -> None:
    """Compare all of a topic, or of all topics, with the table, and publish what is missing."""
    _refuse_topic_elsewhere(sink, topic)
    _ask(RelayOrder(sink=sink, command=RelayCommand.REBUILD, topic=topic), signer)


@relay.command("replay")
@_sink
@_topic
@click.option("--key", help="Only messages with this key.")
@click.option("--from", "first_at", type=click.DateTime(), help="Recorded then or later (UTC).")
@click.option("--to", "end_at", type=click.DateTime(), help="Recorded before then (UTC).")
@_signed
def replay(
    *,
    sink: str,
    topic: str | None,
    key: str | None,
    first_at: datetime | None,
    end_at: datetime | None,
    signer: Signer,
) -> None:
    """Send messages once more, as they were: who reads them sees their ids again."""
    _refuse_topic_elsewhere(sink, topic)
    order = RelayOrder(
        sink=sink,
        command=RelayCommand.REPLAY,
        topic=topic,
        key=key,
        first_at=_utc(first_at),
        end_at=_utc(end_at),
    )
    _ask(order, signer)


@relay.command("retry")
@click.argument("message_id", type=click.UUID)
@_sink
@_signed
def retry(*, message_id: UUID, sink: str, signer: Signer) -> None:
    """Send a message that was set aside again, and then what waits behind it."""
    _ask(RelayOrder(sink=sink, command=RelayCommand.RETRY, message_id=message_id), signer)


@relay.command("skip")
@click.argument("message_id", type=click.UUID)
@_sink
@_signed
def skip(*, message_id: UUID, sink: str, signer: Signer) -> None:
    """Never send a message that was set aside to this sink; send what waits behind it."""
    _ask(RelayOrder(sink=sink, command=RelayCommand.SKIP, message_id=message_id), signer)


@relay.command("drop")
@_sink
@click.option(
    "--with-set-aside", is_flag=True, help="Messages that are set aside go, too: it never has them."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@signed()
def drop(*, sink: str, with_set_aside: bool, yes: bool, signer: Signer) -> None:
    """Drop the slot of a sink that no relay serves any more, and what is kept of it."""
    if not yes:
        what = asyncio.run(_looked_at(sink, may_lose=with_set_aside))
        click.confirm(f"{what}. Go on?", abort=True)
    asyncio.run(_dropped(sink, signer, may_lose=with_set_aside))
    click.echo(f"{sink} has no slot any more; a relay that is started for it compares everything")


def _refuse_topic_elsewhere(sink: str, topic: str | None) -> None:
    """Raise UsageError for a topic that is on another sink only."""
    if topic not in {None, *(carried.name for carried in CARRIED[sink])}:
        raise click.UsageError(f"{sink} does not carry {topic}.")


def _console() -> Console:
    return Console() if sys.stdout.isatty() else Console(width=_PIPE_COLUMNS)


def _state(row: asyncpg.Record) -> str:
    reads_table = row["slot"] == ""
    if not reads_table and row["wal_status"] in {None, "lost"}:
        return "lost" if row["wal_status"] else "has no slot"
    if not row["is_active"]:
        return "nobody reads it"
    # Of a table nobody knows what came before, until there is a checkpoint.
    has_gap = row["has_gap"] or (reads_table and row["checkpoint_at"] is None)
    if row["is_paused"]:
        return "paused, with a gap to fill" if has_gap else "paused"
    if has_gap:
        return "fills a gap"
    return "reads the table" if reads_table else "publishes"


def _behind(row: asyncpg.Record) -> str:
    """Bytes of WAL, or of the table how many rows were written since the checkpoint."""
    if row["slot"] != "":
        return "-" if row["behind_bytes"] is None else f"{row['behind_bytes']:,} B"
    return "-" if row["behind_positions"] is None else f"{row['behind_positions']:,} rows"


def _time(when: datetime | None) -> str:
    return "-" if when is None else f"{when:%Y-%m-%d %H:%M:%S}"


def _utc(when: datetime | None) -> datetime | None:
    return None if when is None else datetime.fromisoformat(f"{when.isoformat()}+00:00")


async def _fetched(statement: str, **arguments: object) -> list[asyncpg.Record]:
    async with database("relay") as pool:
        return list(await pool.fetch(*bound(statement, **arguments)))


def _ask(order: RelayOrder, signer: Signer) -> None:
    outcome = asyncio.run(_asked(order, signer))
    click.echo(outcome or f"asked: the relay of {order.sink} does it when it runs")


async def _asked(order: RelayOrder, signer: Signer) -> str | None:
    """What the relay did, or None if it has done nothing yet."""
    signature = signer.signature(
        _ACTIONS[order.command],
        _target(order.sink, order.command),
        topic=order.topic,
        key=order.key,
        first_at=order.first_at,
        end_at=order.end_at,
        message_id=order.message_id,
    )
    async with database("relay") as pool:
        async with pool.acquire() as connection:
            id_ = await ask_relay(connection, order, entered(signature))
        if id_ is None:
            raise click.ClickException(f"no relay of {order.sink} ever ran here")
        try:
            async with asyncio.timeout(_WAIT_S):
                return await _outcome(pool, id_, order)
        except TimeoutError:
            return None


async def _outcome(pool: Pool, id_: int, order: RelayOrder) -> str:
    waits = order.command not in {RelayCommand.PAUSE, RelayCommand.RESUME}
    while True:
        row = await pool.fetchrow(*bound("relay_command", id=id_))
        if row is not None and row["done_at"] is not None:
            return str(row["outcome"])
        if row is not None and row["is_paused"] and waits:
            return f"asked: the relay of {order.sink} is paused, and does it when it is resumed"
        await asyncio.sleep(_LOOK_AGAIN_S)


def _target(sink: str, word: str) -> str:
    """Where the console has it, or would have."""
    return f"/console/streams/relays/{sink}/{word}"


async def _looked_at(sink: str, *, may_lose: bool) -> str:
    async with database("relay") as pool, pool.acquire() as connection:
        return await _goes(connection, sink, may_lose=may_lose)


async def _dropped(sink: str, signer: Signer, *, may_lose: bool) -> None:
    signature = signer.signature("drop_relay", _target(sink, "drop"), with_set_aside=may_lose)
    async with database("relay") as pool, noted(pool, signature):
        try:
            async with pool.acquire() as connection, connection.transaction():
                await _goes(connection, sink, may_lose=may_lose)
                await connection.execute(*bound("drop_slot_of_sink", sink=sink))
                await connection.execute(*bound("forget_sink", sink=sink))
        except asyncpg.ObjectInUseError as error:
            raise click.ClickException(f"a relay reads it: {error}") from error


async def _goes(connection: PoolConnectionProxy, sink: str, *, may_lose: bool) -> str:
    """What goes with the sink. Raises ClickException if it is at work, or would lose something."""
    row = await connection.fetchrow(*bound("sink_to_drop", sink=sink))
    if row is None:
        raise click.ClickException(f"no relay of {sink} ever ran here")
    if row["is_read"]:
        what = "its slot" if row["slot"] else "the table"
        raise click.ClickException(f"a relay reads {what}: stop it, and who stands by, first")
    ago_s, aside = row["seen_seconds_ago"], row["set_aside"]
    if ago_s is not None and ago_s < _GONE_AFTER_S:
        raise click.ClickException(
            f"a relay had {sink} {ago_s:.0f} s ago, and may begin again: stop it, and who"
            f" stands by, and drop it {_GONE_AFTER_S:.0f} s later"
        )
    if aside and not may_lose:
        raise click.ClickException(
            f"{aside} messages are set aside, which {sink} would never have: decide on them"
            " (`payments relay set-aside`), or give --with-set-aside"
        )
    parts = [f"the slot {row['slot']}" if row["slot"] else "", "what is known of the sink"]
    parts.append(f"{aside} messages set aside, which it will never have" if aside else "")
    parts.append(f"{row['commands_waiting']} commands not done" if row["commands_waiting"] else "")
    parts.append("that it is paused" if row["is_paused"] else "")
    return f"Of {sink} in {where()} goes: {', '.join(filter(None, parts))}"
