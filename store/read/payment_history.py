"""What belongs to a payment, newest first and a page at a time: refunds, attempts, changes.

A payment may have any number of each, so nobody reads all of them at once. Each list goes by an
index of the payment's own, in that index's order.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from payments.attempt import Attempt, AttemptName, AttemptResult, provider_key
from payments.events import EventType
from payments.outcome import Operation
from payments.payment import Provider
from store.event_data import never_changed, whole
from store.queries import bound
from store.read.id_ranges import LAST_ID
from store.rows import refund_from

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from asyncpg import Record
    from asyncpg.pool import PoolConnectionProxy

    from payments.payment import Payment
    from payments.refund import Refund

# Above every version and every number of an attempt.
_LAST: Final = (1 << 31) - 1


@dataclass(frozen=True, slots=True)
class RefundsOf:
    """The refunds of a payment."""

    payment_id: UUID


@dataclass(frozen=True, slots=True)
class AttemptsOf:
    """The attempts at a payment and at its refunds."""

    payment_id: UUID


@dataclass(frozen=True, slots=True)
class EventsOf:
    """The changes of a payment."""

    payment_id: UUID
    payment: Payment = field(repr=False)


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """A try at a provider and, once it ended, how."""

    attempt: Attempt
    result: AttemptResult | None

    @property
    def position(self) -> tuple[UUID, int]:
        """What it was for, and the how manieth try at that."""
        return self.attempt.refund_id or self.attempt.payment_id, self.attempt.number


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """A change of a payment as it was recorded; `sequence` is None for a private one."""

    id: UUID
    type: EventType
    version: int
    sequence: int | None
    occurred_at: datetime
    data: Mapping[str, object]


async def refunds_page(
    connection: PoolConnectionProxy,
    tenant_id: str,
    of: RefundsOf,
    *,
    before: UUID | None,
    limit: int,
) -> list[Refund]:
    """The refunds that were asked for before the refund `before`."""
    page = bound(
        "refunds_of_payment_page",
        tenant_id=tenant_id,
        payment_id=of.payment_id,
        before_id=before or LAST_ID,
        rows_max=limit,
    )
    return [refund_from(row) for row in await connection.fetch(*page)]


async def attempts_page(
    connection: PoolConnectionProxy,
    tenant_id: str,
    of: AttemptsOf,
    *,
    before: tuple[UUID, int] | None,
    limit: int,
) -> list[AttemptRecord]:
    """Those at the newest refund first, at each the last one; the payment's own come last."""
    before_subject, before_number = before or (LAST_ID, _LAST)
    page = bound(
        "attempts_of_payment_page",
        tenant_id=tenant_id,
        payment_id=of.payment_id,
        before_subject=before_subject,
        before_number=before_number,
        rows_max=limit,
    )
    return [attempt_from(row) for row in await connection.fetch(*page)]


async def events_page(
    connection: PoolConnectionProxy,
    tenant_id: str,
    of: EventsOf,
    *,
    before: int | None,
    limit: int,
) -> list[StoredEvent]:
    """The changes before the version `before`."""
    page = bound(
        "events_of_payment_page",
        tenant_id=tenant_id,
        payment_id=of.payment_id,
        before_version=_LAST if before is None else before,
        rows_max=limit,
    )
    of_payment = never_changed(of.payment)
    return [event_from(row, of_payment) for row in await connection.fetch(*page)]


async def archived_at(connection: PoolConnectionProxy, payment_id: UUID) -> datetime | None:
    """When the payment's history until then was archived, if it was."""
    found: datetime | None = await connection.fetchval(*bound("archived_at", payment_id=payment_id))
    return found


def attempt_from(row: Record) -> AttemptRecord:
    """An attempt, from all its columns."""
    operation, subject_id = Operation(row["operation"]), row["refund_id"] or row["payment_id"]
    attempt = Attempt(
        id=row["id"],
        tenant_id=row["tenant_id"],
        payment_id=row["payment_id"],
        refund_id=row["refund_id"],
        number=row["number"],
        operation=operation,
        inquiry=row["inquiry"],
        provider=Provider(row["provider"]),
        provider_key=row["provider_key"] or provider_key(operation, subject_id),
        worker=row["worker"],
        lease_expires_at=row["lease_expires_at"],
        started_at=row["started_at"],
    )
    if row["outcome"] is None:
        return AttemptRecord(attempt, None)
    result = AttemptResult(
        attempt=AttemptName(row["payment_id"], row["refund_id"], row["id"]),
        finished_at=row["finished_at"],
        outcome=row["outcome"],
        provider_reference=row["provider_reference"],
        error_code=row["error_code"],
        error=row["error"],
    )
    return AttemptRecord(attempt, result)


def event_from(row: Record, of_payment: Mapping[str, object]) -> StoredEvent:
    """A change, from all its columns and what is the same in all of its payment's."""
    return StoredEvent(
        id=row["id"],
        type=EventType(row["type"]),
        version=row["version"],
        sequence=row["sequence"],
        occurred_at=row["occurred_at"],
        data=whole(row["data"], of_payment, row["version"], row["occurred_at"]),
    )
