"""The parts of the sinks that need no server: partitions, entry ids, the Redis protocol."""

from __future__ import annotations

import pytest
from aiokafka.partitioner import DefaultPartitioner
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.topics.relay.test_pgoutput import ROW
from topics.relay.positions import Place
from topics.relay.sinks import resp
from topics.relay.sinks.partition import partition_of
from topics.relay.sinks.redis_streams import EntryIds
from topics.relay.sinks.redis_tail import entry_id, parsed
from topics.relay.sinks.sink import OutgoingMessage
from topics.relay.watermark import Transaction

TOPIC = "payments.events"


@given(st.binary(max_size=64), st.integers(1, 100))
def test_a_key_lies_where_every_kafka_client_looks_for_it(key: bytes, partitions: int) -> None:
    """Our murmur2 agrees with aiokafka's, which is the Java client's."""
    expected = DefaultPartitioner()(key, list(range(partitions)), [])
    assert partition_of(key, partitions) == expected


def ids(*, end: tuple[int, int] = (0, 1), since: int = 0) -> EntryIds:
    return EntryIds({TOPIC: Place(*end)}, since)


def wal_row(commit_lsn: int, number: int = 0) -> OutgoingMessage:
    return OutgoingMessage(ROW, Transaction(commit_lsn, 0.0), number)


TABLE_ROW = OutgoingMessage(ROW, Transaction(None, 0.0), 0)


def test_a_row_of_the_wal_has_the_id_of_its_commit() -> None:
    """Its LSN, then its number in the transaction."""
    assert ids().next(wal_row(2000, 3)) == (2000, 3)


def test_rows_of_the_table_stand_behind_what_is_there() -> None:
    """And the WAL goes on with its own ids once they are greater."""
    entries = ids(end=(1500, 3))
    assert [entries.next(TABLE_ROW), entries.next(TABLE_ROW)] == [(1500, 3), (1500, 4)]
    assert entries.next(wal_row(1400)) == (1500, 5)
    assert entries.next(wal_row(1600)) == (1600, 0)


def test_rows_of_the_table_stand_behind_where_the_wal_was() -> None:
    """Of a stream that was lost and filled every entry is newer than what stood in it before."""
    entries = ids(since=1500)
    assert [entries.next(TABLE_ROW), entries.next(TABLE_ROW)] == [(1500, 0), (1500, 1)]
    assert entries.next(wal_row(1400)) == (1500, 2)


@given(st.lists(st.integers(1, 50)))
def test_ids_increase_whatever_the_wal_does(lsns: list[int]) -> None:
    """A Postgres that was restored begins before the stream's end."""
    entries = ids(end=(20, 0))
    given_out = [entries.next(wal_row(lsn)) for lsn in lsns]
    assert given_out == sorted(set(given_out))


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
    assert entry_id(parsed(text)) == text
