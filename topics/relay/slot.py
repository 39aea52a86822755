"""The relay's ordinary connection to Postgres: the slot, the table, and what is kept of the sink.

It never decides anything: it creates a slot that is absent, replaces one the server gave up,
keeps checkpoints and gives them back, and reads the outbox a page at a time.
"""

import contextlib
import json
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, NamedTuple, Self

import psycopg
import structlog
from psycopg.abc import Buffer
from psycopg.adapt import Loader

from store.queries import query
from topics.contracts.envelope import OutboxRow
from topics.relay.connection import connect
from topics.relay.failures import Deposed, SlotActive, SourceFailure
from topics.relay.pgoutput import lsn_number, lsn_text
from topics.relay.positions import Checkpoint, Mark, Partition, marks_text
from topics.relay.source import Server

log = structlog.get_logger()

_FAILOVER_SLOTS_SINCE: Final = 170_000

# As text: the statements say what each is.
_Argument = str | Sequence[str | None] | None


class SlotOrigin(Enum):
    """What `ensure_slot` found: a slot to go on from, none, or one the server had given up."""

    KEPT = auto()
    CREATED = auto()
    REPLACED = auto()


class Claim(NamedTuple):
    """A relay's right to a sink: `writer` is the same for all of them, `epoch` its own.

    `has_gap` while a slot that was made anew may have missed rows that the sink lacks.
    """

    sink: str
    epoch: str
    writer: str
    was_drained: bool
    has_gap: bool
    is_paused: bool


class Command(NamedTuple):
    """What an operator asks of the relay; which fields mean something depends on what it is."""

    id: str
    command: str
    topic: str | None
    key: str | None
    first_at: str | None
    end_at: str | None
    message_id: str | None


class Key(NamedTuple):
    """The messages that are kept in order: those of a topic with the same key."""

    topic: bytes
    key: bytes

    @classmethod
    def of(cls, row: OutboxRow) -> Self:
        return cls(row.aggregatetype, row.aggregateid)


class Transactions(NamedTuple):
    """All below `xmin` have ended, none from `newest` on had begun; `lsn` is where the WAL ends."""

    xmin: int
    newest: int
    lsn: int


@dataclass(frozen=True, slots=True)
class _Slot:
    wal_status: str
    confirmed_lsn: int


class _AsWritten(Loader):
    """Text as the server sends it: rows go on as bytes."""

    def load(self, data: Buffer) -> bytes:
        return bytes(data)


class Postgres:
    """One connection, used by one task at a time. Every method raises `SourceFailure`."""

    def __init__(self, connection: psycopg.AsyncConnection[tuple[object, ...]]) -> None:
        self._connection = connection

    async def ensure_slot(self, sink: str, name: str) -> SlotOrigin:
        """Create the slot if it is absent, and again if the server gave it up.

        Raises `SlotActive` while a relay of this sink reads another slot.
        """
        await self._execute("know_sink", sink)
        for (other,) in await self._execute("other_slot_at_work", sink, name):
            raise SlotActive(f"a relay of {sink} reads the slot {other}")
        found = await self._slot(name)
        if found is not None and found.wal_status != "lost":
            return SlotOrigin.KEPT
        # Known before there is a slot: whoever dies between the two leaves no gap unseen.
        await self._execute("note_gap", sink)
        if found is not None:
            log.error("the server gave the slot up; it is made anew", slot=name)
            await self._execute("drop_slot", name)
        log.info("creating the slot", slot=name)
        can_fail_over = self._connection.info.server_version >= _FAILOVER_SLOTS_SINCE
        await self._execute("create_failover_slot" if can_fail_over else "create_slot", name)
        return SlotOrigin.CREATED if found is None else SlotOrigin.REPLACED

    async def take_table(self, sink: str) -> None:
        """Be the only one that reads the table for this sink, until the connection ends.

        Raises `SlotActive` while another does; one that has asked nothing for long is cut off.
        """
        await self._execute("know_sink", sink)
        ((is_ours,),) = await self._execute("lock_table_reading", sink)
        if not is_ours:
            await self._execute("cut_off_sleeper", sink)
            raise SlotActive(f"another relay reads the table for {sink}")

    async def take_over(self, sink: str, slot: str) -> Claim:
        """Become the sink's only writer, in the eyes of this database."""
        async with self._transaction():
            found = await self._execute("lock_sink", sink)
            if not found:
                raise SourceFailure(f"an operator has dropped {sink}")
            ((writer, *flags),) = found
            for (other,) in await self._execute("other_slot_at_work", sink, slot):
                raise SlotActive(f"a relay of {sink} reads the slot {other}")
            ((epoch,),) = await self._execute("take_over_sink", sink, slot)
        return Claim(sink, str(epoch), str(writer), *(bool(flag) for flag in flags))

    async def confirmed_lsn(self, slot: str) -> int:
        """How far the slot's readers have confirmed; final only while nobody else reads it."""
        found = await self._slot(slot)
        if found is None:
            raise SourceFailure(f"the slot {slot} is gone")
        return found.confirmed_lsn

    async def wal_end(self) -> int:
        ((lsn,),) = await self._execute("wal_end")
        return lsn_number(str(lsn))

    async def drawn_position(self) -> int:
        """No position that was drawn so far is greater."""
        ((drawn,),) = await self._execute("drawn_position")
        return int(str(drawn))

    async def transactions(self) -> Transactions:
        ((xmin, newest, lsn),) = await self._execute("transactions_now")
        return Transactions(int(str(xmin)), int(str(newest)), lsn_number(str(lsn)))

    async def oldest_writer(self) -> str:
        """Whose transaction has been writing for longest, by process, application and age."""
        for row in await self._execute("oldest_writer"):
            pid, application, age = row
            return f"process {pid} ({application}), whose transaction is {age} old,"
        return "somebody"

    async def checkpoints(self, sink: str) -> list[Checkpoint]:
        """What is kept of the sink, newest first."""
        found = await self._execute("checkpoints", sink)
        return [Checkpoint.parse(*(str(value) for value in row)) for row in found]

    async def keep_checkpoint(
        self, claim: Claim, floor: int, marks: Mapping[Partition, Mark], lsn: int, server: Server
    ) -> None:
        """Raises `Deposed` when another relay has taken over."""
        text = lsn_text(lsn), server.timeline, server.system_identifier, marks_text(marks)
        if not await self._execute("keep_checkpoint", claim.sink, claim.epoch, str(floor), *text):
            raise Deposed(f"another relay has taken {claim.sink} over")

    async def strike(self, sink: str, false_marks: Mapping[Partition, Sequence[str]]) -> None:
        """Forget of these checkpoints what they say of these partitions."""
        for at, kept_for in false_marks.items():
            await self._execute("strike_marks", sink, at.topic, str(at.number), list(kept_for))

    async def close_gap(self, claim: Claim) -> None:
        """The sink has what a slot that was made anew has missed."""
        await self._execute("close_gap", claim.sink, claim.epoch)

    async def note_writing(self, claim: Claim) -> None:
        """From here on something may be on its way to the sink. Raises `Deposed`."""
        if not await self._execute("note_writing", claim.sink, claim.epoch):
            raise Deposed(f"another relay has taken {claim.sink} over")

    async def note_seen(self, claim: Claim) -> None:
        """We are here: who would drop the sink is told."""
        await self._execute("note_seen", claim.sink, claim.epoch)

    async def note_drained(self, claim: Claim) -> None:
        """Whatever was sent to the sink is acknowledged, and nothing more will be sent."""
        await self._execute("note_drained", claim.sink, claim.epoch)

    async def thin_checkpoints(self, sink: str) -> None:
        await self._execute("thin_checkpoints", sink)

    async def heartbeat(self) -> None:
        """Write a few bytes of WAL, so that an idle slot moves on and releases the old WAL."""
        await self._execute("emit_heartbeat")

    async def newest(self, topic: str, rows: int) -> int | None:
        """The position behind which a topic's newest so many rows lie; None if it has fewer."""
        for (position,) in await self._execute("newest_position", topic, str(rows)):
            return int(str(position))
        return None

    async def page(
        self, topics: Collection[str], behind: int, until: int, rows_max: int
    ) -> list[OutboxRow]:
        """The next rows of these topics behind a position and up to another, in their order."""
        return await self._rows("outbox_page", list(topics), str(behind), str(until), str(rows_max))

    async def page_without_positions(
        self, topics: Collection[str], behind: bytes, rows_max: int
    ) -> list[OutboxRow]:
        """The next rows from before there were positions, behind an id, by their ids."""
        found = list(topics), behind.decode(), str(rows_max)
        return await self._rows("outbox_without_positions", *found)

    async def replay_page(
        self, command: Command, topics: Collection[str], behind: int, until: int, rows_max: int
    ) -> list[OutboxRow]:
        """The next rows behind a position that are asked for once more."""
        asked = [command.topic] if command.topic else list(topics)
        return await self._rows(
            "outbox_replay_page",
            *(str(behind), str(until), asked, command.key, command.first_at, command.end_at),
            str(rows_max),
        )

    async def keys_set_aside(self, sink: str) -> dict[Key, bool]:
        """Each key of which a message is set aside, and whether the first of it was refused."""
        return {
            Key(str(topic).encode(), str(key).encode()): bool(is_refused)
            for topic, key, is_refused in await self._execute("keys_set_aside", sink)
        }

    async def set_aside(self, sink: str, refused: Sequence[tuple[OutboxRow, str | None]]) -> None:
        """Keep rows a sink does not take, with the reason, and what waits behind them, without."""
        await self._execute(
            "set_aside",
            sink,
            [(row.position or b"0").decode() for row, _ in refused],
            [row.id.decode() for row, _ in refused],
            [row.aggregatetype.decode() for row, _ in refused],
            [row.aggregateid.decode() for row, _ in refused],
            [json.dumps([value and value.decode() for value in row]) for row, _ in refused],
            [reason for _, reason in refused],
        )

    async def set_aside_of_key(self, sink: str, key: Key, rows_max: int) -> list[OutboxRow]:
        """The first rows of a key that are set aside, in order."""
        asked = sink, key.topic.decode(), key.key.decode(), str(rows_max)
        return [_row(message) for (message,) in await self._execute("set_aside_of_key", *asked)]

    async def set_aside_message(self, sink: str, message_id: str) -> OutboxRow | None:
        """The row that is set aside under this id, if it is the first of its key."""
        for (message,) in await self._execute("set_aside_message", sink, message_id):
            return _row(message)
        return None

    async def forget_set_aside(self, sink: str, ids: Collection[bytes]) -> None:
        await self._execute("forget_set_aside", sink, [id_.decode() for id_ in ids])

    async def count_set_aside(self, sink: str) -> tuple[int, float]:
        """How many messages are set aside, and since how many seconds the oldest of them."""
        ((count, seconds),) = await self._execute("count_set_aside", sink)
        return int(str(count)), float(str(seconds))

    async def commands(self, sink: str) -> list[Command]:
        """What is asked of the relay and not done yet, in the order it was asked."""
        found = await self._execute("commands_waiting", sink)
        return [
            Command(str(id_), str(command), *(None if each is None else str(each) for each in rest))
            for id_, command, *rest in found
        ]

    async def command_done(self, command: Command, outcome: str) -> None:
        await self._execute("command_done", command.id, outcome)

    async def pause(self, sink: str, *, is_paused: bool) -> None:
        await self._execute("pause_sink", sink, str(is_paused))

    async def strike_topic(self, sink: str, topic: str | None) -> None:
        """Forget what is kept of a topic, or of all."""
        await self._execute("strike_topic", sink, topic)

    async def _rows(self, statement: str, *arguments: _Argument) -> list[OutboxRow]:
        try:
            async with self._connection.cursor() as cursor:
                cursor.adapters.register_loader("text", _AsWritten)
                await cursor.execute(query(statement).encode(), arguments)
                return [OutboxRow._make(row) for row in await cursor.fetchall()]
        except psycopg.Error as error:
            raise SourceFailure(f"Postgres refused or went away: {error}") from error

    @contextlib.asynccontextmanager
    async def _transaction(self) -> AsyncIterator[None]:
        try:
            async with self._connection.transaction():
                yield
        except psycopg.Error as error:
            raise SourceFailure(f"Postgres refused or went away: {error}") from error

    async def _slot(self, name: str) -> "_Slot | None":
        for status, confirmed in await self._execute("slot_state", name):
            if confirmed is None:
                raise SlotActive(f"another relay is creating the slot {name}")
            return _Slot(str(status), lsn_number(str(confirmed)))
        return None

    async def _execute(self, statement: str, *arguments: _Argument) -> list[tuple[object, ...]]:
        try:
            cursor = await self._connection.execute(query(statement).encode(), arguments)
            return await cursor.fetchall() if cursor.description else []
        except psycopg.Error as error:
            raise SourceFailure(f"Postgres refused or went away: {error}") from error


@contextlib.asynccontextmanager
async def connected(conninfo: str) -> AsyncIterator[Postgres]:
    """An ordinary connection. Raises `SourceFailure`."""
    connection = await connect(conninfo)
    try:
        yield Postgres(connection)
    finally:
        await connection.close()


def _row(message: object) -> OutboxRow:
    return OutboxRow._make(
        None if value is None else value.encode() for value in json.loads(str(message))
    )
