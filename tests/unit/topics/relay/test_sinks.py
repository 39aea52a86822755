"""The parts of the sinks that need no server: partitions, entry ids, the Redis protocol."""

from __future__ import annotations

import pytest
from aiokafka.partitioner import DefaultPartitioner
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.topics.relay.test_pgoutput import ROW
from topics.relay.sinks import resp
from topics.relay.sinks.partition import partition_of
from topics.relay.sinks.redis_streams import EntryIds
from topics.relay.sinks.redis_tail import EntryId
from topics.relay.sinks.sink import OutgoingMessage, ResumePoint
from topics.relay.watermark import Transaction

TOPIC = "payments.events"


@given(st.binary(max_size=64), st.integers(1, 100))
def test_a_key_lies_where_every_kafka_client_looks_for_it(key: bytes, partitions: int) -> None:
    """Our murmur2 agrees with aiokafka's, which is the Java client's."""
    expected = DefaultPartitioner()(key, list(range(partitions)), [])
    assert partition_of(key, partitions) == expected


def ids(*, top: tuple[int, int] = (0, 0), confirmed: int = 1000, wal: int = 5000) -> EntryIds:
    return EntryIds({TOPIC: EntryId(*top)}, ResumePoint(confirmed, wal))


def wal_row(commit_lsn: int, number: int = 0) -> OutgoingMessage:
    return OutgoingMessage(ROW, Transaction(commit_lsn, 0.0), number)


TABLE_ROW = OutgoingMessage(ROW, Transaction(None, 0.0), 0)


def test_a_row_of_the_wal_has_the_id_of_its_commit() -> None:
    """Its LSN, then its number in the transaction."""
    assert ids().next(wal_row(2000, 3)) == (2000, 3)


def test_rows_of_the_table_stand_before_the_wal() -> None:
    """They were committed before the confirmed position, where the WAL begins."""
    entries = ids(top=(500, 2), confirmed=1000)
    assert [entries.next(TABLE_ROW), entries.next(TABLE_ROW)] == [(999, 0), (999, 1)]
    assert entries.next(wal_row(1000)) == (1000, 0)


def test_rows_of_the_table_stand_behind_what_is_there() -> None:
    """A second refill continues the first, and one behind unconfirmed entries continues those."""
    assert ids(top=(999, 7), confirmed=1000).next(TABLE_ROW) == (999, 8)
    assert ids(top=(1500, 2), confirmed=1000).next(TABLE_ROW) == (1500, 3)


def test_only_what_was_there_before_is_a_replay() -> None:
    """An id taken within this session was taken by another row: that must not pass for one."""
    entries = ids(top=(1500, 2))
    assert entries.is_replay(wal_row(1500, 2), EntryId(1500, 2))
    assert not entries.is_replay(wal_row(1500, 3), EntryId(1500, 3))


def test_a_wal_that_began_anew_is_the_next_history() -> None:
    """Ids go on increasing, and the history stays when the WAL has caught up."""
    entries = ids(top=(9000, 0), wal=5000)
    assert entries.next(wal_row(2000)) == ((1 << 56) + 2000, 0)
    later = ids(top=((1 << 56) + 2000, 0), wal=6000)
    assert later.next(wal_row(5500)) == ((1 << 56) + 5500, 0)


@given(st.lists(st.tuples(st.text(min_size=1), st.binary()), min_size=1, max_size=5))
def test_fields_are_written_as_arguments(pairs: list[tuple[str, bytes]]) -> None:
    """Names may contain anything, a percent sign too."""
    arguments = [part for name, value in pairs for part in (name.encode(), value)]
    expected = b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in arguments)
    assert resp.fields(pairs) == expected
    assert resp.command(arguments) == b"*%d\r\n" % len(arguments) + expected


@pytest.mark.parametrize("text", [b"0-0", b"18446744073709551615-18446744073709551615", b"7-1"])
def test_an_entry_id_reads_as_it_is_written(text: bytes) -> None:
    """Both halves have 64 bits."""
    assert EntryId.parse(text).encode() == text
