"""The one function that records: any number of decisions, in the caller's transaction.

Rows with their version checked, ledger transfers, events, outbox, attempts, dead
letters: nobody can forget one of them, because there is no other way to write.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Protocol, TypeVar

from store.event_data import event_data, kept
from store.faults import VersionConflictError
from store.queries import query
from store.rows import columns
from store.write.outbox import messages, superseded

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from asyncpg.pool import PoolConnectionProxy

    from payments.decision import Decision
    from payments.events import Event
    from store.write.outbox import OutboxValues


class _Versioned(Protocol):
    @property
    def id(self) -> UUID: ...
    @property
    def version(self) -> int: ...


PartT = TypeVar("PartT")


@dataclass(frozen=True, slots=True)
class Recorded:
    """A decision, and the trace it was made in."""

    decision: Decision
    traceparent: str | None


async def record(connection: PoolConnectionProxy, batch: Sequence[Recorded]) -> None:
    """Write all of `batch`. Raises VersionConflictError; whatever it raises, roll back."""
    batch = await _without_repeated_letters(connection, batch)
    decisions = [each.decision for each in batch]
    write = _Writer(connection)
    systems = {each.id: each for decision in decisions for each in decision.system_accounts}
    await write.insert("insert_system_accounts", [systems[each] for each in sorted(systems)])
    await write.versioned("accounts", _all(each.accounts for each in decisions))
    await write.versioned("payment_methods", _all(each.payment_methods for each in decisions))
    await write.versioned("payments", _all(each.payments for each in decisions))
    # As the last decision left it, like the rest of the row.
    blocked = {each.id: each for decision in decisions for each in decision.blocked}
    await write.insert("block_payments", [*blocked.values()])
    await write.versioned("refunds", _all(each.refunds for each in decisions))
    await write.versioned("disputes", _all(each.disputes for each in decisions))
    await write.insert("insert_ledger_transfers", _all(each.transfers for each in decisions))
    await write.insert("insert_attempts", _all(each.attempts for each in decisions))
    await write.insert("finish_attempts", _all(each.attempt_results for each in decisions))
    await write.versioned("dead_letters", _all(each.dead_letters for each in decisions))
    await write.insert("insert_provider_events", _all(each.provider_events for each in decisions))
    await write.insert("insert_operator_actions", _all(each.actions for each in decisions))
    await _say(write, batch)


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


async def _say(write: _Writer, batch: Sequence[Recorded]) -> None:
    stale = superseded([each.decision for each in batch])
    events: list[Event] = []
    payloads: list[str] = []
    outbox: list[OutboxValues] = []
    for each in batch:
        told = [(event, event_data(event)) for event in each.decision.events]
        events.extend(event for event, _ in told)
        payloads.extend(kept(event, data) for event, data in told)
        said = messages(each.decision, told, each.traceparent)
        outbox.extend(row for row in said if row.id not in stale)
    await write.insert("insert_payment_events", events, data=payloads)
    await write.insert("insert_outbox", outbox)


@dataclass(frozen=True, slots=True)
class _Writer:
    """Runs named statements with one array a column."""

    connection: PoolConnectionProxy

    async def insert(
        self, name: str, entities: Sequence[object], **given: Sequence[object]
    ) -> None:
        if entities:
            await self.connection.execute(*columns(name, entities, **given))

    async def versioned(self, table: str, entities: Iterable[_Versioned]) -> None:
        """Insert what is new, update what is not, each once, as the last decision left it."""
        states: defaultdict[UUID, list[_Versioned]] = defaultdict(list)
        for entity in entities:
            states[entity.id].append(entity)
        befores = [(history[0].version - 1, history[-1]) for history in states.values()]
        await self.insert(f"insert_{table}", [last for before, last in befores if not before])
        changed = [last for before, last in befores if before]
        if changed:
            versions = [before for before, _ in befores if before]
            update = columns(f"update_{table}", changed, version_before=versions)
            status = await self.connection.execute(*update)
            if status != f"UPDATE {len(changed)}":
                raise VersionConflictError(f"{table}: {status}, expected {len(changed)} rows")
