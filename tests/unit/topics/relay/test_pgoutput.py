"""The decoder reads what PostgreSQL's manual says the server writes, and nothing else."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topics.contracts.envelope import OutboxRow
from topics.relay.pgoutput import (
    Begin,
    Commit,
    Decoder,
    Keepalive,
    ProtocolError,
    lsn_number,
    lsn_text,
    status_update,
)

COLUMNS = OutboxRow._fields
ROW = OutboxRow(
    id=b"01a20980-4d70-7f5d-9563-699716d1d34d",
    aggregatetype=b"payments.events",
    aggregateid=b"01a20980-0000-7000-8000-000000000000",
    type=b"payment.created",
    payload='{"note": "größe"}'.encode(),
    tenant_id=b"default",
    sequence=b"1",
    causationid=None,
    traceparent=None,
    occurred_at=b"2024-06-07 12:00:00.5+00",
    recorded_at=b"2024-06-07 12:00:00.5+00",
    position=b"71",
)


def data(change: bytes) -> bytes:
    """A change as XLogData carries it."""
    return b"w" + struct.pack(">QQq", 1, 2, 3) + change


def relation(number: int, table: str, columns: tuple[str, ...] = COLUMNS) -> bytes:
    described = b"".join(b"\x00" + name.encode() + b"\x00" + bytes(8) for name in columns)
    names = b"public\x00" + table.encode() + b"\x00"
    return data(
        b"R"
        + struct.pack(">I", number)
        + names
        + b"d"
        + struct.pack(">H", len(columns))
        + described
    )


def insert(number: int, values: tuple[bytes | None, ...]) -> bytes:
    tuples = b"".join(
        b"n" if value is None else b"t" + struct.pack(">I", len(value)) + value for value in values
    )
    return data(b"I" + struct.pack(">I", number) + b"N" + struct.pack(">H", len(values)) + tuples)


@pytest.fixture
def decoder() -> Decoder:
    return Decoder("outbox")


def test_a_transaction(decoder: Decoder) -> None:
    """Begin, rows, commit; the description of the table is not an event."""
    begin = b"B" + struct.pack(">QqI", 0x16B374D848, 500_000, 770)
    commit = b"C" + struct.pack(">BQQq", 0, 0x16B374D848, 0x16B374D900, 0)
    messages = [data(begin), relation(1, "outbox"), insert(1, ROW), data(commit)]
    assert [decoder.decode(message) for message in messages] == [
        Begin(0x16B374D848, 946_684_800.5),
        None,
        ROW,
        Commit(0x16B374D900),
    ]


def test_a_keepalive(decoder: Decoder) -> None:
    """It says how far the server has read and whether it wants an answer."""
    assert decoder.decode(b"k" + struct.pack(">QqB", 99, 0, 1)) == Keepalive(
        99, reply_requested=True
    )


def test_columns_may_stand_anywhere(decoder: Decoder) -> None:
    """A migration may add columns or recreate the table: names decide, not places."""
    columns = ("added", *reversed(COLUMNS), "last")
    decoder.decode(relation(1, "outbox", columns))
    assert decoder.decode(insert(1, (b"x", *reversed(ROW), None))) == ROW


@pytest.mark.parametrize("added", [1, 2])
def test_rows_from_before_a_column_was_added_have_none(added: int) -> None:
    """The WAL describes the table as it was when they were written."""
    row = ROW._replace(tracestate=b"congo=t61rcWkgMzE")
    decoder, there = Decoder("outbox"), len(COLUMNS) - added
    decoder.decode(relation(1, "outbox", COLUMNS[:there]))
    assert decoder.decode(insert(1, row[:there])) == (*row[:there], *[None] * added)


def test_other_tables_are_skipped(decoder: Decoder) -> None:
    """A publication somebody widened does no harm."""
    decoder.decode(relation(2, "payments", ("id",)))
    assert decoder.decode(insert(2, (b"x",))) is None


@pytest.mark.parametrize("kind", [b"U", b"D", b"T", b"O", b"Y", b"M"])
def test_other_changes_are_skipped(decoder: Decoder, kind: bytes) -> None:
    """Updates, deletes, truncations, origins, types and messages say nothing to the relay."""
    assert decoder.decode(data(kind + bytes(20))) is None


def test_a_missing_column_is_named(decoder: Decoder) -> None:
    """A table this version cannot read stops the relay with the column's name."""
    with pytest.raises(ProtocolError, match="traceparent"):
        decoder.decode(
            relation(1, "outbox", tuple(name for name in COLUMNS if name != "traceparent"))
        )


@given(st.data())
def test_a_message_cut_short_is_refused(draw: st.DataObject) -> None:
    """However a row is cut, it is never taken for a shorter one."""
    decoder = Decoder("outbox")
    decoder.decode(relation(1, "outbox"))
    whole = insert(1, ROW)
    length = draw.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(ProtocolError):
        decoder.decode(whole[:length])


@pytest.mark.parametrize("kind", [b"b", b"u"])
def test_values_that_are_not_text_are_refused(decoder: Decoder, kind: bytes) -> None:
    """Binary values would be passed on as if they were text."""
    decoder.decode(relation(1, "outbox"))
    with pytest.raises(ProtocolError, match="not text"):
        decoder.decode(insert(1, ROW).replace(b"Nt", b"N" + kind).replace(b"\x0dt", b"\x0d" + kind))


def test_an_unknown_message_is_refused(decoder: Decoder) -> None:
    """A newer protocol would be misread in silence otherwise."""
    with pytest.raises(ProtocolError, match="unknown"):
        decoder.decode(b"z" + bytes(30))


@given(st.integers(0, (1 << 64) - 1))
def test_positions_are_written_as_postgres_writes_them(lsn: int) -> None:
    """Both ways; `16/B374D848` is the manual's example."""
    assert lsn_number(lsn_text(lsn)) == lsn
    assert lsn_text(0x16B374D848) == "16/B374D848"


def test_a_status_update() -> None:
    """Received, flushed and applied position, the time since 2000, and whether to answer."""
    update = status_update(received=9, confirmed=8, now=946_684_801.0, reply_requested=True)
    assert struct.unpack(">cQQQqB", update) == (b"r", 9, 8, 8, 1_000_000, 1)
