"""The one function that records: any number of decisions, in the caller's transaction.

Rows with their version checked, ledger transfers, events, outbox, attempts, dead
letters: nobody can forget one of them, because there is no other way to write.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from payments.record import Struct, replace
from store.event_data import told
from store.faults import VersionConflictError
from store.queries import queries, query
from store.rows import columns
from store.write.known_systems import KnownSystems
from store.write.outbox import messages, superseded

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from asyncpg.pool import PoolConnectionProxy

    from payments.account import SystemAccount
    from payments.decision import Decision
    from payments.events import Event
    from store.write.outbox import OutboxValues
    from telemetry.tracing import Trace


class _Versioned(Protocol):
    @property
    def id(self) -> UUID: ...
    @property
    def version(self) -> int: ...


PartT = TypeVar("PartT")


class Recorded(Struct, frozen=True):
    """A decision, the trace it was made in, and when."""

    decision: Decision
    trace: Trace | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Written:
    """What came of it.

    `position` is the last of its messages in the outbox, None without any; `systems` are the system
    accounts that were not known before, and are there once this is committed.
    """

    systems: list[SystemAccount]
    position: int | None


async def record(
    connection: PoolConnectionProxy, batch: Sequence[Recorded], known: KnownSystems | None = None
) -> Written:
    """Write all of `batch`. Raises VersionConflictError; whatever it raises, roll back."""
    batch = await _without_repeated_letters(connection, batch)
    decisions = [each.decision for each in batch]
    if systems := (known or KnownSystems()).unknown(decisions):
        await connection.execute(*columns("insert_system_accounts", systems))
    parts = _Parts()
    parts.versioned("accounts", _all(each.accounts for each in decisions))
    parts.versioned("payment_methods", _all(each.payment_methods for each in decisions))
    parts.versioned("payments", _all(each.payments for each in decisions))
    # As the last decision left it, like the rest of the row.
    blocked = {each.id: each for decision in decisions for each in decision.blocked}
    parts.insert("block_payments", [*blocked.values()])
    parts.versioned("refunds", _all(each.refunds for each in decisions))
    parts.versioned("disputes", _all(each.disputes for each in decisions))
    parts.insert("insert_ledger_transfers", _all(each.transfers for each in decisions))
    parts.insert("insert_attempts", _all(each.attempts for each in decisions))
    parts.insert("finish_attempts", _all(each.attempt_results for each in decisions))
    parts.versioned("dead_letters", _all(each.dead_letters for each in decisions))
    parts.insert("insert_provider_events", _all(each.provider_events for each in decisions))
    parts.insert("insert_operator_actions", _all(each.actions for each in decisions))
    parts.versioned("webhook_endpoints", _all(each.webhook_endpoints for each in decisions))
    parts.insert("insert_webhook_tests", _all(each.webhook_tests for each in decisions))
    parts.insert("insert_webhook_replays", _all(each.webhook_replays for each in decisions))
    _say(parts, batch)
    return Written(systems, await parts.write(connection))


def _all(parts: Iterable[Iterable[PartT]]) -> list[PartT]:
    return [*chain.from_iterable(parts)]


async def _without_repeated_letters(
    connection: PoolConnectionProxy, batch: Sequence[Recorded]
) -> Sequence[Recorded]:
    """A letter is parked and said once, however often the same thing is decided again."""
    parked = [
        letter.id for each in batch for letter in each.decision.dead_letters if letter.version == 1
    ]
    if not parked:
        return batch
    known = {row["id"] for row in await connection.fetch(query("dead_letters_parked"), parked)}
    told: list[Recorded] = []
    for each in batch:
        letters = [
            letter
            for letter in each.decision.dead_letters
            if letter.version > 1 or letter.id not in known
        ]
        known.update(letter.id for letter in letters)
        told.append(replace(each, decision=replace(each.decision, dead_letters=tuple(letters))))
    return told


def _say(parts: _Parts, batch: Sequence[Recorded]) -> None:
    stale = superseded([each.decision for each in batch])
    events: list[Event] = []
    payloads: list[str] = []
    outbox: list[OutboxValues] = []
    for each in batch:
        words = [told(event) for event in each.decision.events]
        events.extend(each.decision.events)
        payloads.extend(word.kept for word in words)
        said = messages(each.decision, (word.message for word in words), each.trace, each.at)
        outbox.extend(row for row in said if row.id not in stale)
    parts.insert("insert_payment_events", events, data=payloads)
    parts.insert(_SAYS, outbox)


@dataclass(frozen=True, slots=True)
class _Part:
    """A named statement with one array a column; `changed` are the rows it must touch, if any."""

    name: str
    arguments: tuple[Sequence[object], ...]
    changed: int | None = None


class _Parts:
    """What is to be written, table by table, those without rows left out."""

    def __init__(self) -> None:
        self._parts: list[_Part] = []

    def insert(self, name: str, entities: Sequence[object], **given: Sequence[object]) -> None:
        if entities:
            _, *arguments = columns(name, entities, **given)
            self._parts.append(_Part(name, tuple(arguments)))

    def versioned(self, table: str, entities: Iterable[_Versioned]) -> None:
        """Insert what is new, update what is not, each once, as the last decision left it."""
        states: defaultdict[UUID, list[_Versioned]] = defaultdict(list)
        for entity in entities:
            states[entity.id].append(entity)
        befores = [(history[0].version - 1, history[-1]) for history in states.values()]
        self.insert(f"insert_{table}", [last for before, last in befores if not before])
        changed = [last for before, last in befores if before]
        if changed:
            versions = [before for before, _ in befores if before]
            _, *arguments = columns(f"update_{table}", changed, version_before=versions)
            self._parts.append(_Part(f"update_{table}", tuple(arguments), len(changed)))

    async def write(self, connection: PoolConnectionProxy) -> int | None:
        """Together, where they are the parts of one statement, or one after the other.

        Returns the last position of what was said, None where nothing was.
        """
        arguments = {part.name: part.arguments for part in self._parts}
        if together := _together(arguments):
            given = chain.from_iterable(arguments.get(name) or _none(name) for name in together[1])
            row = await connection.fetchrow(query(together[0]), *given)
            assert row is not None, "an aggregate has a row"
            _check(together[0], row["changed"], sum(part.changed or 0 for part in self._parts))
            return row["position"] if row["position"] is None else int(row["position"])
        position: int | None = None
        for part in self._parts:
            if part.name == _SAYS:
                position = await connection.fetchval(query(part.name), *part.arguments)
                continue
            status = await connection.execute(query(part.name), *part.arguments)
            if part.changed is not None:
                _check(part.name, int(status.rpartition(" ")[2]), part.changed)
        return position


def _check(name: str, touched: int, expected: int) -> None:
    if touched != expected:
        raise VersionConflictError(f"{name}: {touched} rows were as seen, of {expected}")


# The one that answers where it put what it was given.
_SAYS: Final = "insert_outbox"

# Which parts a statement of record_together.sql has, in this order; the shortest first.
TOGETHER: Final[Mapping[str, Sequence[str]]] = {
    "record_claimed": ("update_payments", "insert_attempts", "insert_payment_events"),
    "record_accepted": (
        "update_accounts",
        "insert_payments",
        "insert_ledger_transfers",
        "insert_payment_events",
        _SAYS,
    ),
    "record_worked": (
        "update_accounts",
        "update_payments",
        "insert_ledger_transfers",
        "insert_attempts",
        "finish_attempts",
        "insert_payment_events",
        _SAYS,
    ),
}
# Parts that are not to be written cost a third of a round trip each, at the most.
_TOGETHER_MIN: Final = 3


def _together(parts: Mapping[str, Sequence[Sequence[object]]]) -> tuple[str, Sequence[str]] | None:
    """The statement that has all of these parts, with its own; None for what goes apart."""
    if len(parts) < _TOGETHER_MIN or _finishes_what_it_begins(parts):
        return None
    return next((each for each in TOGETHER.items() if parts.keys() <= {*each[1]}), None)


def _finishes_what_it_begins(parts: Mapping[str, Sequence[Sequence[object]]]) -> bool:
    """Whether an attempt is begun and finished here: no statement sees what it inserts itself."""
    begun, finished = parts.get("insert_attempts"), parts.get("finish_attempts")
    if not begun or not finished:
        return False
    # Both begin with the attempts' ids.
    return not {*begun[0]}.isdisjoint(finished[0])


@cache
def _none(name: str) -> Sequence[Sequence[object]]:
    """A part of no rows."""
    return [[] for _ in queries()[name].parameters]
