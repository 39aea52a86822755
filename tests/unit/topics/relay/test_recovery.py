"""What is in the sink already is left out when the WAL repeats it, and nothing else."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.topics.relay.test_pgoutput import ROW
from topics.contracts.envelope import OutboxRow
from topics.relay.pgoutput import Begin
from topics.relay.positions import NO_FLOOR, Partition
from topics.relay.recovery import Covered
from topics.relay.sinks.sink import OutgoingMessage
from topics.relay.watermark import Transaction

AT = Partition("payments.events", 3)
OTHER = Partition("payments.events", 4)
POSITIONED = ROW._replace(position=b"70")
COVERED = Covered(until=1000, floors={AT: 70, OTHER: NO_FLOOR}, floor_max=70, present=frozenset())


def has(covered: Covered, row: OutboxRow, at: Partition) -> bool:
    message = OutgoingMessage(row, Transaction(900, 0.0), 0)
    return covered.lacking([message], lambda _: at) != [message]


def test_a_row_the_floor_covers_is_left_out() -> None:
    """The floor itself is covered, and what is behind it is not."""
    assert has(COVERED, POSITIONED, AT)
    assert not has(COVERED, ROW._replace(position=b"71"), AT)


def test_each_partition_has_a_floor_of_its_own() -> None:
    """One that was lost has less than the others."""
    assert not has(COVERED, POSITIONED, OTHER)


def test_a_row_that_was_read_back_is_left_out() -> None:
    """Whatever its position."""
    covered = replace(COVERED, present=frozenset({ROW.id}))
    assert has(covered, ROW._replace(position=b"71"), AT)
    assert has(covered, POSITIONED, OTHER)


def test_a_row_from_before_there_were_positions_is_below_every_floor() -> None:
    """It was published long ago, unless nothing is certain of its partition."""
    assert has(COVERED, ROW._replace(position=None), AT)
    assert not has(COVERED, ROW._replace(position=None), OTHER)


def test_nothing_is_covered_behind_where_the_wal_ended() -> None:
    """A transaction committed later cannot have been published, nor any after it."""
    assert not COVERED.ended_by(Begin(1000, 0.0))
    assert COVERED.ended_by(Begin(1001, 0.0))
