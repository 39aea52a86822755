"""What a sink has been seen to have, and what follows from it when a stream begins. Pure.

A row has a position, drawn while its key is locked. A checkpoint says: every row up to the floor
is in the sink, and whatever else is there stands at or behind the places to read back from. So a
row is in the sink if the floor covers it or its id is read back; no id, no clock and no place in
the WAL is compared. A partition that ends before where it was seen to end has lost something, and
so has one that is another of the same name: an older checkpoint that is still true of it says
from which position on the table must be read.
"""

import json
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Self, TypeVar

from topics.relay.pgoutput import lsn_number

# As much as an older release had in flight, and so may have published and not confirmed.
ADOPTED_ROWS: Final = 10_000
# Below every position, and below the rows that have none.
NO_FLOOR: Final = -1
_MOMENTS_MAX: Final = 64

_Moment = TypeVar("_Moment")


class Place(NamedTuple):
    """Where in a partition: an offset and 0 in Kafka, the two halves of an entry's id in Redis."""

    first: int
    second: int = 0


class Partition(NamedTuple):
    """A part of a topic within which order is kept; a stream of Redis is one."""

    topic: str
    number: int


class Extent(NamedTuple):
    """A partition as it is: which one of that name, its first message, and behind its last.

    `recent` has at least its last `ADOPTED_ROWS` messages behind it.
    """

    incarnation: str
    begin: Place
    recent: Place
    end: Place


class Mark(NamedTuple):
    """A partition as it was seen.

    From `read_from` on stands what the floor does not cover, from `replay_from` on what was
    committed behind the checkpoint's place in the WAL; it was acknowledged up to `acked`.
    """

    incarnation: str
    read_from: Place
    replay_from: Place
    acked: Place


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Every row with a position up to `floor` was in the partitions marked.

    So was every row committed before `lsn`, in the WAL of this server.
    """

    kept_for: str
    floor: int
    lsn: int
    system_identifier: str
    marks: Mapping[Partition, Mark]

    @classmethod
    def parse(cls, kept_for: str, floor: str, lsn: str, server: str, marks: str) -> Self:
        """From the columns of its row. Raises ValueError for what is none."""
        parsed = {
            Partition(topic, int(number)): Mark(incarnation, *(Place(*place) for place in places))
            for topic, partitions in json.loads(marks).items()
            for number, (incarnation, *places) in partitions.items()
        }
        return cls(kept_for, int(floor), lsn_number(lsn), server, parsed)


def marks_text(marks: Mapping[Partition, Mark]) -> str:
    """As a checkpoint keeps them."""
    topics: dict[str, dict[str, Mark]] = {}
    for (topic, number), mark in marks.items():
        topics.setdefault(topic, {})[str(number)] = mark
    return json.dumps(topics, separators=(",", ":"))


class Base(NamedTuple):
    """What is certain of a partition: see `Mark`. `is_whole` if the table need not be read.

    `read_back` is where the ids begin that must be known.
    """

    floor: int
    read_from: Place
    read_back: Place
    is_whole: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """How a stream begins. `false_marks` must be struck before anything is published.

    When that is done all partitions have every row up to `floor`, unless that is not known yet.
    """

    bases: Mapping[Partition, Base]
    false_marks: Mapping[Partition, Sequence[str]]
    floor: int | None

    @property
    def lacking(self) -> frozenset[Partition]:
        """The partitions for which the table must be read."""
        return frozenset(at for at, base in self.bases.items() if not base.is_whole)


def planned(
    checkpoints: Sequence[Checkpoint],
    extents: Mapping[Partition, Extent],
    *,
    has_gap: bool,
    by_position: bool = False,
) -> Plan:
    """What the checkpoints, newest first, say of the partitions as they are.

    `has_gap` if there may be rows that neither the WAL brings nor was seen in the sink. What comes
    again is what the WAL has behind the newest one's place, or, `by_position`, above its floor.
    """
    bases: dict[Partition, Base] = {}
    false_marks: dict[Partition, list[str]] = {}
    has_anything = {at.topic for at, extent in extents.items() if extent.end != extent.begin}
    for at, extent in extents.items():
        base: Base | None = None
        for checkpoint in checkpoints:
            mark = checkpoint.marks.get(at)
            if mark is None or mark.incarnation != extent.incarnation:
                continue
            if mark.acked > extent.end:
                false_marks.setdefault(at, []).append(checkpoint.kept_for)
                continue
            is_whole = checkpoint is checkpoints[0] and not has_gap
            read_back = mark.replay_from if is_whole and not by_position else mark.read_from
            base = Base(checkpoint.floor, mark.read_from, read_back, is_whole)
            break
        if base is None and checkpoints and at not in false_marks:
            base = _added(checkpoints[0], at, extent, has_gap=has_gap)
        if base is None and not checkpoints and not has_gap and at.topic in has_anything:
            # Of a release that kept no checkpoints: it compared sink and table at each start.
            base = Base(NO_FLOOR, extent.recent, extent.recent, is_whole=True)
        bases[at] = base or Base(NO_FLOOR, extent.begin, extent.begin, is_whole=False)
    is_adopted = any(base.is_whole and base.floor == NO_FLOOR for base in bases.values())
    floor = checkpoints[0].floor if checkpoints else NO_FLOOR
    return Plan(bases, false_marks, None if is_adopted else floor)


def _added(newest: Checkpoint, at: Partition, extent: Extent, *, has_gap: bool) -> Base | None:
    """Of a partition that was added to a topic: what is new to it was elsewhere before."""
    siblings = (mark for known, mark in newest.marks.items() if known.topic == at.topic)
    if any(mark.incarnation == extent.incarnation for mark in siblings):
        return Base(newest.floor, extent.begin, extent.begin, is_whole=not has_gap)
    return None


class Tick(NamedTuple):
    """One look at Postgres: each part asked after the one before.

    `read_from` is where each partition ended that was acknowledged by then; `drawn` the greatest
    position drawn; all transactions below `xmin` had ended, none from `newest` on had begun; `lsn`
    the WAL's end.
    """

    read_from: Mapping[Partition, Place]
    drawn: int
    xmin: int
    newest: int
    lsn: int


class Floor:
    """Up to which position every row is in the sink, once that is known.

    A position is drawn by a transaction that has a number. Once all numbers below a tick's newest
    have ended, each row up to the position drawn then is committed or never will be; and once
    everything before the WAL's end of that later moment is acknowledged, each is in the sink.
    """

    def __init__(self, floor: int | None, read_from: Mapping[Partition, Place]) -> None:
        self.floor = floor
        self.read_from = read_from
        self._ticks: deque[Tick] = deque()

    def tick(self, tick: Tick) -> None:
        _note(self._ticks, tick)

    def settle(self, confirmed: int) -> None:
        """Everything committed before this place of the WAL is acknowledged."""
        passed = [tick for tick in self._ticks if tick.lsn <= confirmed]
        if not passed:
            return
        ended_below = passed[-1].xmin
        done = [tick for tick in passed if tick.newest <= ended_below]
        if done:
            self.floor, self.read_from = done[-1].drawn, done[-1].read_from
            while self._ticks[0] is not done[-1]:
                self._ticks.popleft()
            self._ticks.popleft()


class Replays:
    """From where on what is there may be brought again by the WAL.

    Whatever is acknowledged was received before; once the position confirmed has passed what was
    received at a moment, nothing that was acknowledged by then comes again.
    """

    def __init__(self, replay_from: Mapping[Partition, Place], received: int) -> None:
        self.replay_from = replay_from
        self._received_at_first = received
        self._moments: deque[tuple[int, Mapping[Partition, Place]]] = deque()

    def look(self, received: int, acknowledged: Mapping[Partition, Place]) -> None:
        """So far was received, and by now this is acknowledged."""
        _note(self._moments, (max(received, self._received_at_first), acknowledged))

    def settle(self, confirmed: int) -> None:
        """Nothing committed before this place of the WAL comes again."""
        while self._moments and self._moments[0][0] <= confirmed:
            _, self.replay_from = self._moments.popleft()


class PolledFloor:
    """The floor where the table is read in the order of the positions: what is confirmed is one."""

    def __init__(self, floor: int, read_from: Mapping[Partition, Place]) -> None:
        self.floor: int | None = floor
        self._moments = Replays(read_from, floor)

    @property
    def read_from(self) -> Mapping[Partition, Place]:
        """Whatever stands before has a position up to the floor."""
        return self._moments.replay_from

    def tick(self, tick: Tick) -> None:
        """Whatever was acknowledged by then had been drawn."""
        self._moments.look(tick.drawn, tick.read_from)

    def settle(self, confirmed: int) -> None:
        """Every row up to this position is acknowledged."""
        self.floor = max(self.floor or 0, confirmed)
        self._moments.settle(confirmed)


class Settled:
    """Up to which position of the table nothing is still to come.

    Once all numbers below a look's newest have ended, as for the floor.
    """

    def __init__(self) -> None:
        self.position = 0
        self._looks: deque[tuple[int, int]] = deque()

    def look(self, drawn: int, xmin: int, newest: int) -> None:
        """One look at Postgres, asked in the order of a `Tick`."""
        _note(self._looks, (drawn, newest))
        while self._looks and self._looks[0][1] <= xmin:
            self.position, _ = self._looks.popleft()


def _note(moments: deque[_Moment], moment: _Moment) -> None:
    """One more that is waited for. Of many every other one is left out, but never the oldest.

    What follows from the others is lower than it could be, never wrong; and the oldest, whose
    writers end first, is always there to follow from.
    """
    if len(moments) == _MOMENTS_MAX:
        thinned = [*moments][::2]
        moments.clear()
        moments.extend(thinned)
    moments.append(moment)
