"""What checkpoints say of a sink: what is there, what was lost, from where the table is read."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from topics.relay.positions import (
    NO_FLOOR,
    Base,
    Checkpoint,
    Extent,
    Floor,
    Mark,
    Partition,
    Place,
    Replays,
    Settled,
    Tick,
    marks_text,
    planned,
)

AT = Partition("payments.events", 3)
EXTENT = Extent("a", begin=Place(0), recent=Place(90), end=Place(100))


def checkpoint(floor: int, read_from: int, acked: int) -> Checkpoint:
    mark = Mark("a", Place(read_from), Place(acked - 5), Place(acked))
    return Checkpoint(f"minute {floor}", floor, floor * 1000, "7", {AT: mark})


NEWEST = checkpoint(70, 80, 95)
OLDER = checkpoint(30, 40, 60)
OLDEST = checkpoint(5, 6, 10)
KEPT = [NEWEST, OLDER, OLDEST]


def test_what_ends_where_it_did_is_whole() -> None:
    """The table is not read; read back is what the WAL may bring again."""
    plan = planned(KEPT, {AT: EXTENT}, has_gap=False)
    assert plan.bases == {AT: Base(70, Place(80), read_back=Place(90), is_whole=True)}
    assert not plan.lacking
    assert not plan.false_marks


def test_what_was_emptied_on_purpose_is_whole() -> None:
    """Retention, or an operator, took the messages: the end is where it was."""
    emptied = EXTENT._replace(begin=Place(100))
    assert not planned(KEPT, {AT: emptied}, has_gap=False).lacking


def test_what_lost_its_end_is_filled_from_an_older_checkpoint() -> None:
    """From the newest that is still true of it; those that are not are struck."""
    plan = planned(KEPT, {AT: EXTENT._replace(end=Place(61))}, has_gap=False)
    assert plan.bases == {AT: Base(30, Place(40), Place(40), is_whole=False)}
    assert plan.false_marks == {AT: [NEWEST.kept_for]}
    assert plan.lacking == {AT}


def test_what_lost_everything_is_filled_from_the_beginning() -> None:
    """No checkpoint is true of it."""
    lost = EXTENT._replace(end=Place(0), recent=Place(0))
    plan = planned(KEPT, {AT: lost}, has_gap=False)
    assert plan.bases == {AT: Base(NO_FLOOR, Place(0), Place(0), is_whole=False)}
    assert plan.false_marks == {AT: [NEWEST.kept_for, OLDER.kept_for, OLDEST.kept_for]}


def test_another_of_the_same_name_is_filled_from_the_beginning() -> None:
    """However far it goes by now."""
    plan = planned(KEPT, {AT: EXTENT._replace(incarnation="b")}, has_gap=False)
    assert plan.bases == {AT: Base(NO_FLOOR, Place(0), Place(0), is_whole=False)}
    assert not plan.false_marks


def test_a_filling_that_was_cut_short_is_not_taken_for_whole() -> None:
    """What was struck stays struck when the partition has grown past where it ended."""
    struck = replace(NEWEST, marks={})
    plan = planned([struck, OLDER], {AT: EXTENT._replace(end=Place(99))}, has_gap=False)
    assert plan.bases == {AT: Base(30, Place(40), Place(40), is_whole=False)}


def test_a_gap_in_the_wal_is_filled_from_the_newest_checkpoint() -> None:
    """A slot that was made anew brings nothing of what was committed before it."""
    plan = planned(KEPT, {AT: EXTENT}, has_gap=True)
    assert plan.bases == {AT: Base(70, Place(80), Place(80), is_whole=False)}


def test_a_partition_that_was_added_begins_with_what_its_topic_had() -> None:
    """What is older was published elsewhere in the topic, and is covered by the floor."""
    added = Partition(AT.topic, 12)
    fresh = Extent("a", begin=Place(0), recent=Place(0), end=Place(0))
    plan = planned(KEPT, {AT: EXTENT, added: fresh}, has_gap=False)
    assert plan.bases[added] == Base(70, Place(0), Place(0), is_whole=True)


def test_a_topic_that_was_not_carried_before_is_filled() -> None:
    """Nothing is known of it: the table says what it should have."""
    other = Partition("payments.new", 0)
    fresh = Extent("n", begin=Place(0), recent=Place(0), end=Place(0))
    assert planned(KEPT, {AT: EXTENT, other: fresh}, has_gap=False).lacking == {other}


def test_the_release_before_kept_no_checkpoints() -> None:
    """What it left is taken as it is, but for what it may have had in flight."""
    plan = planned([], {AT: EXTENT}, has_gap=False)
    assert plan.bases == {AT: Base(NO_FLOOR, Place(90), Place(90), is_whole=True)}
    assert plan.floor is None


def test_an_empty_topic_of_the_release_before_is_filled() -> None:
    """It may have been lost meanwhile; if the table has nothing for it either, nothing happens."""
    empty = Extent("a", begin=Place(0), recent=Place(0), end=Place(0))
    plan = planned([], {AT: empty}, has_gap=False)
    assert plan.lacking == {AT}
    assert plan.floor == NO_FLOOR


def test_a_checkpoint_reads_as_it_is_written() -> None:
    """Whatever the places are: offsets, or entries' ids."""
    marks = {
        AT: Mark("a", Place(1), Place(2), Place(2**40, 7)),
        Partition("x", 0): Mark("", Place(0), Place(0), Place(3)),
    }
    read = Checkpoint.parse("then", "12", "1/A", "7", marks_text(marks))
    assert read == Checkpoint("then", 12, (1 << 32) + 10, "7", marks)


def tick(drawn: int, xmin: int, newest: int, lsn: int) -> Tick:
    return Tick({AT: Place(drawn)}, drawn, xmin, newest, lsn)


def test_the_floor_rises_when_nobody_writes() -> None:
    """Nobody who drew a position is still at work, and all that was committed is acknowledged."""
    floor = Floor(0, {AT: Place(0)})
    floor.tick(tick(50, xmin=10, newest=10, lsn=1000))
    floor.settle(999)
    assert floor.floor == 0
    floor.settle(1000)
    assert (floor.floor, floor.read_from) == (50, {AT: Place(50)})


def test_the_floor_waits_for_who_still_writes() -> None:
    """Transaction 10 drew a position up to 50 and may commit it yet."""
    floor = Floor(0, {AT: Place(0)})
    floor.tick(tick(50, xmin=10, newest=12, lsn=1000))
    floor.tick(tick(60, xmin=10, newest=15, lsn=2000))
    floor.settle(5000)
    assert floor.floor == 0
    floor.tick(tick(70, xmin=13, newest=16, lsn=3000))
    floor.settle(5000)
    assert floor.floor == 50
    floor.tick(tick(80, xmin=20, newest=20, lsn=6000))
    floor.settle(5000)
    assert floor.floor == 50
    floor.settle(6000)
    assert floor.floor == 80


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 3), st.booleans()), max_size=300))
def test_every_row_below_the_floor_was_acknowledged(moves: list[tuple[int, int, bool]]) -> None:
    """However transactions overlap, and whenever somebody looks."""
    floor = Floor(0, {})
    next_xid, drawn, lsn, confirmed = 1, 0, 0, 0
    at_work: dict[int, list[int]] = {}
    committed: dict[int, int] = {}
    for begins, ends, looks in moves:
        for _ in range(begins):
            drawn += 1
            at_work[next_xid] = [drawn]
            next_xid += 1
        if at_work:
            drawn += 1
            next(iter(at_work.values())).append(drawn)
        for xid in list(at_work)[-ends:] if ends else []:
            lsn += 10
            committed |= dict.fromkeys(at_work.pop(xid), lsn)
        if looks:
            floor.tick(tick(drawn, min(at_work, default=next_xid), next_xid, lsn + 1))
        else:
            confirmed = lsn
        floor.settle(confirmed)
        known = floor.floor or 0
        assert all(
            committed.get(position, lsn + 1) <= confirmed for position in range(1, known + 1)
        )


def test_what_was_received_before_the_confirmed_place_does_not_come_again() -> None:
    """What is acknowledged then was received before; a later moment waits for its own."""
    replays = Replays({AT: Place(1)}, received=100)
    replays.look(50, {AT: Place(10)})
    replays.look(300, {AT: Place(20)})
    replays.settle(99)
    assert replays.replay_from == {AT: Place(1)}
    replays.settle(200)
    assert replays.replay_from == {AT: Place(10)}
    replays.settle(300)
    assert replays.replay_from == {AT: Place(20)}


def test_what_is_drawn_settles_however_long_writers_overlap() -> None:
    """Another begins every half minute and writes for 90 s; somebody looks ten times a second.

    That is more looks than are kept before the first of them can settle anything.
    """
    settled = Settled()
    at_work: list[tuple[int, int]] = []
    number = drawn = 0
    for tenth in range(20 * 600):
        if tenth % 300 == 0:
            number += 1
            at_work.append((number, drawn))
            del at_work[:-3]
        number, drawn = number + 1, drawn + 1
        oldest, drawn_before = at_work[0]
        settled.look(drawn, xmin=oldest, newest=number)
        assert settled.position <= drawn_before
        assert settled.position > drawn - 1800
