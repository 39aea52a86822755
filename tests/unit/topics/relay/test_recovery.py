"""What a recovery has compared is left out when the WAL repeats it, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.topics.relay.test_pgoutput import ROW
from topics.relay.pgoutput import Begin
from topics.relay.recovery import Covered
from topics.relay.snapshot import TransactionSnapshot

RECORDED_MS = 1_717_761_600_500
COVERED = Covered(
    TransactionSnapshot(lsn=1000, xmax=50, in_progress=frozenset({40})),
    since_ms={b"payments.events": RECORDED_MS},
    until=b"01a20980-4d70-7f5d-9563-699716d1d34e",
    present=frozenset(),
)


@pytest.mark.parametrize(
    ("text", "xid", "saw"),
    [
        ("10:20:", 9, True),
        ("10:20:", 19, True),
        ("10:20:", 20, False),
        ("10:20:", 21, False),
        ("10:20:12,15", 12, False),
        ("10:20:12,15", 13, True),
        # The WAL's numbers have 32 bits, a snapshot's 64; both count on after a wrap.
        ("4294967290:4294967300:", 4294967295, True),
        ("4294967290:4294967300:", 3, True),
        ("4294967290:4294967300:", 4, False),
        ("4294967290:4294967300:4294967297", 1, False),
    ],
)
def test_a_snapshot_saw_what_was_finished(text: str, xid: int, saw: bool) -> None:  # noqa: FBT001 - the table's last column
    """Before xmax and not in progress, also around the wrap of transaction numbers."""
    assert TransactionSnapshot.parse(text, lsn=0).saw(xid) is saw


@given(st.integers(0, (1 << 40) - 1), st.integers(1, (1 << 31) - 1))
def test_a_snapshot_is_right_around_any_wrap(xmax: int, age: int) -> None:
    """A finished transaction is seen however far back, within half the numbers."""
    snapshot = TransactionSnapshot.parse(f"1:{xmax}:", lsn=0)
    assert snapshot.saw((xmax - age) & 0xFFFFFFFF)
    assert not snapshot.saw((xmax + age - 1) & 0xFFFFFFFF)


def test_a_compared_row_is_left_out() -> None:
    """Seen by the snapshot, in the window of its topic, before the last id compared."""
    assert COVERED.has(ROW, is_seen=True)


def test_a_row_the_snapshot_did_not_see_is_published() -> None:
    """It was committed while the table was read."""
    assert not COVERED.has(ROW, is_seen=False)


def test_a_row_older_than_the_window_is_published() -> None:
    """It was not compared: its partition may have been dropped before the snapshot."""
    older = ROW._replace(recorded_at=b"2024-06-07 12:00:00.499999+00")
    assert not COVERED.has(older, is_seen=True)


def test_a_row_behind_the_last_id_is_published() -> None:
    """The table was not compared so far: the WAL brings it."""
    assert not COVERED.has(ROW._replace(id=COVERED.until), is_seen=True)


def test_a_row_of_another_topic_is_published() -> None:
    """What was not asked of the sink is not known of it."""
    assert not COVERED.has(ROW._replace(aggregatetype=b"payments.dlq"), is_seen=True)


def test_a_row_the_sink_showed_is_left_out() -> None:
    """Whatever its age or transaction: its id was read back."""
    covered = replace(COVERED, present=frozenset({ROW.id}), since_ms={})
    assert covered.has(ROW, is_seen=False)


def test_the_comparison_ends_behind_the_snapshot() -> None:
    """A transaction committed later cannot have been seen, nor any after it."""
    assert not COVERED.ended_by(Begin(1000, 0.0, 1))
    assert COVERED.ended_by(Begin(1001, 0.0, 1))
