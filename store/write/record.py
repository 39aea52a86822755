"""The one function that records: any number of decisions, in the caller's transaction.

Rows with their version checked, ledger transfers, events, outbox, attempts, dead
letters: nobody can forget one of them, because there is no other way to write.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, TypeVar

from store import rows
from store.queries import query
from store.write.outbox import event_payload, messages, superseded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from uuid import UUID

    from asyncpg.pool import PoolConnectionProxy

    from payments.decision import Decision
    from payments.events import Event
    from store.rows import Values


class VersionConflictError(Exception):
    """A row is not as it was when it was read, though it was locked: nothing may be committed."""


class _Versioned(Protocol):
    @property
    def id(self) -> UUID: ...
    @property
    def version(self) -> int: ...


EntityT = TypeVar("EntityT", bound=_Versioned)


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
    await write.insert(
        "insert_system_accounts",
        sorted((each.id, each.tenant_id, each.code, each.currency) for each in systems.values()),
    )
    await write.versioned(
        "accounts",
        (each for decision in decisions for each in decision.accounts),
        rows.account_inserted,
        rows.account_updated,
    )
    await _payments(write, decisions)
    await write.versioned(
        "refunds",
        (each for decision in decisions for each in decision.refunds),
        rows.refund_inserted,
        rows.refund_updated,
    )
    await write.insert(
        "insert_ledger_transfers",
        [rows.transfer_inserted(each) for decision in decisions for each in decision.transfers],
    )
    await write.insert(
        "insert_attempts",
        [rows.attempt_inserted(each) for decision in decisions for each in decision.attempts],
    )
    await write.insert(
        "finish_attempts",
        [
            rows.attempt_finished(each)
            for decision in decisions
            for each in decision.attempt_results
        ],
    )
    await write.versioned(
        "dead_letters",
        (each for decision in decisions for each in decision.dead_letters),
        rows.dead_letter_inserted,
        rows.dead_letter_updated,
    )
    await write.insert(
        "insert_provider_events",
        [
            rows.provider_event_inserted(each)
            for decision in decisions
            for each in decision.provider_events
        ],
    )
    await _say(write, batch)


async def _payments(write: _Writer, decisions: Sequence[Decision]) -> None:
    await write.versioned(
        "payments",
        (each for decision in decisions for each in decision.payments),
        rows.payment_inserted,
        rows.payment_updated,
    )
    # As the last decision left it, like the rest of the row.
    blocked = {each.id: each for decision in decisions for each in decision.blocked}
    await write.insert("block_payments", [rows.payment_blocked(each) for each in blocked.values()])


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
    history: list[Values] = []
    outbox: list[Values] = []
    for each in batch:
        payloads = [(event, event_payload(event)) for event in each.decision.events]
        history.extend(_history(event, payload) for event, payload in payloads)
        said = messages(each.decision, payloads, each.traceparent)
        outbox.extend(row for row in said if row.id not in stale)
    await write.insert("insert_payment_events", history)
    await write.insert("insert_outbox", outbox)


def _history(event: Event, payload: str) -> Values:
    payment = event.payment
    return (
        payment.id,
        payment.version,
        event.id,
        payment.tenant_id,
        payment.sequence if event.is_public else None,
        event.type.value,
        payload,
        event.occurred_at,
    )


@dataclass(frozen=True, slots=True)
class _Writer:
    """Runs named statements with one array a column."""

    connection: PoolConnectionProxy

    async def insert(self, name: str, values: Sequence[Values]) -> None:
        if values:
            await self.connection.execute(query(name), *zip(*values, strict=True))

    async def versioned(
        self,
        table: str,
        entities: Iterable[EntityT],
        inserted: Callable[[EntityT], Values],
        updated: Callable[[EntityT, int], Values],
    ) -> None:
        """Insert what is new, update what is not, each once, as the last decision left it."""
        states: defaultdict[UUID, list[EntityT]] = defaultdict(list)
        for entity in entities:
            states[entity.id].append(entity)
        befores = [(history[0].version - 1, history[-1]) for history in states.values()]
        await self.insert(
            f"insert_{table}", [inserted(last) for before, last in befores if not before]
        )
        changed = [updated(last, before) for before, last in befores if before]
        if changed:
            sql = query(f"update_{table}")
            status = await self.connection.execute(sql, *zip(*changed, strict=True))
            if status != f"UPDATE {len(changed)}":
                raise VersionConflictError(f"{table}: {status}, expected {len(changed)} rows")
