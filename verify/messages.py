"""Compares what stands on the topics of one log with what the outbox held.

At least once is allowed: the same message may stand there twice, bit for bit. What the
baseline did not know is asked for again at the end, since a busy system goes on.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from uuid import UUID

from pydantic import ValidationError

from topics.contracts.payloads import WorkData
from topics.names import CHARGES, EVENTS, REFUNDS, TOPICS
from verify.database import existing, parked, published_later
from verify.invariants import EXAMPLES_MAX, CheckResult, Violation
from verify.topics import Coverage

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from verify.database import Baseline, Connection
    from verify.topics import Log, Published

_WORK: Final = {CHARGES.name: "charge.requested", REFUNDS.name: "refund.requested"}
_PUBLIC: Final = frozenset(topic.name for topic in TOPICS if topic.public)
# Keys of ours and of Stripe's shape, client secrets of intents, credentials in a header.
_SECRET: Final = re.compile(
    rb"\b(?:pk|sk|rk|whsec)_[A-Za-z0-9_]{8,}|_secret_[A-Za-z0-9]{8,}"
    rb"|(?i:\b(?:bearer|basic) [A-Za-z0-9+/=._-]{16,})"
)


@dataclass(slots=True)
class Comparison:
    """One log against the baseline, message by message."""

    log: str
    baseline: Baseline
    read: int = 0
    _seen: set[UUID] = field(default_factory=set)
    _unmatched: list[Published] = field(default_factory=list)
    _reached: dict[str, int] = field(default_factory=dict)
    _changed: list[Violation] = field(default_factory=list)
    _misnumbered: list[Violation] = field(default_factory=list)
    _secrets: list[Violation] = field(default_factory=list)

    def add(self, published: Published) -> None:
        """The next message of a topic."""
        self.read += 1
        if _SECRET.search(published.value):
            self._secrets.append(Violation(published.place, "holds what looks like a secret"))
        message = published.message
        row = self.baseline.outbox.get(message.id) if message else None
        if message is None or row is None:
            self._unmatched.append(published)
            return
        told = (message.topic, message.key, message.sequence, published.digest)
        if told != (row.topic, row.key, row.sequence, row.digest):
            problem = f"is not event {message.id} as the outbox has it"
            self._changed.append(Violation(published.place, problem))
        if message.id not in self._seen:
            self._seen.add(message.id)
            self._count(published, message.key, row.sequence)

    def _count(self, published: Published, key: str, sequence: int | None) -> None:
        """A payment's first message says where its numbers begin; from there none is left out."""
        if published.topic != EVENTS.name or sequence is None:
            return
        before = self._reached.get(key, sequence - 1)
        self._reached[key] = sequence
        if sequence != before + 1:
            problem = f"payment {key} goes from sequence {before} to {sequence}"
            self._misnumbered.append(Violation(published.place, problem))

    async def results(
        self, connection: Connection, coverage: dict[str, Coverage], *, behind: str | None
    ) -> list[CheckResult]:
        """What was found; `behind` says why messages may rightly be missing yet."""
        unmatched = await self._unmatched_left(connection)
        foreign = [each for each in unmatched if each.topic in _PUBLIC]
        missing = () if behind else self._missing(coverage)
        wrong = [*self._changed, *missing, *(_foreign(each) for each in foreign)]
        found = [
            self._result("I7", wrong, unchecked=behind if not wrong else None),
            self._result("I8", self._misnumbered),
            self._result("I14", self._secrets),
        ]
        if self.log == "kafka":
            work = [each for each in unmatched if each.topic in _WORK]
            found.append(self._result("I10", await _unparked(connection, work)))
        return found

    def _result(
        self, invariant: str, violations: Sequence[Violation], unchecked: str | None = None
    ) -> CheckResult:
        shown = tuple(violations[:EXAMPLES_MAX])
        return CheckResult(invariant, self.log, self.read, shown, unchecked)

    def _missing(self, coverage: dict[str, Coverage]) -> tuple[Violation, ...]:
        return tuple(
            Violation(f"event {event_id}", f"of {row.recorded_at} is not on {row.topic}")
            for event_id, row in self.baseline.outbox.items()
            if row.topic in coverage
            and event_id not in self._seen
            and not coverage[row.topic].may_lack(row.key, row.recorded_at)
        )

    async def _unmatched_left(self, connection: Connection) -> list[Published]:
        """Those that neither the outbox has by now nor are older than what it has, or keeps."""
        rows = self.baseline.outbox.values()
        oldest = min((row.recorded_at for row in rows), default=self.baseline.kept_since)
        ids = [each.message.id for each in self._unmatched if each.message]
        later = await published_later(connection, ids, oldest) if ids else {}
        return [
            each
            for each in self._unmatched
            if not (each.message and later.get(each.message.id) == (each.topic, each.digest))
            and not _is_older(each, oldest)
        ]


async def compare(
    log: Log, topics: Sequence[str], baseline: Baseline
) -> tuple[Comparison, dict[str, Coverage]]:
    """Read the topics of a log to their ends."""
    comparison, coverage = Comparison(log.name, baseline), {topic: Coverage() for topic in topics}
    for topic in topics:
        async for published in log.read(topic, coverage[topic]):
            comparison.add(published)
    return comparison, coverage


async def _unparked(connection: Connection, unmatched: Sequence[Published]) -> list[Violation]:
    """Foreign messages that no stage can process and that are not among the letters as often."""
    subjects = {each.place: _subject(each) for each in unmatched}
    known = await existing(connection, [each for each in subjects.values() if each])
    poison = [each for each in unmatched if subjects[each.place] not in known]
    letters = defaultdict(lambda: range(1), await parked(connection))
    sent = Counter((each.topic, each.digest) for each in poison)
    places = {(each.topic, each.digest): each.place for each in poison}
    return [
        Violation(places[kind], f"was sent {count} times and parked {letters[kind][-1]} times")
        for kind, count in sent.items()
        if count not in letters[kind]
    ]


def _subject(published: Published) -> UUID | None:
    """The payment or refund a work message is about; None when a stage cannot read it."""
    message = published.message
    if message is None or message.type != _WORK[published.topic]:
        return None
    try:
        work = WorkData.model_validate_json(published.value)
    except ValidationError:
        return None
    return work.refund_id if published.topic == REFUNDS.name else work.payment_id


def _is_older(published: Published, oldest: datetime) -> bool:
    """Whether the outbox has dropped what would vouch for it."""
    message = published.message
    return message is not None and message.occurred_at < oldest


def _foreign(published: Published) -> Violation:
    why = published.error or "it is in no outbox row"
    return Violation(published.place, f"is none of ours: {why}")
