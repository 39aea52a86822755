"""What a payment left in the ledger, on the topics, on its way to webhooks and in the dead letters.

Nothing of that is ordered by payment, so it is looked for where the payment's own times and ids say
it must be.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from store.queries import bound
from store.read.id_ranges import first_id_of
from store.read.webhooks import delivery_from
from store.rows import dead_letter_from

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from uuid import UUID

    from asyncpg import Record
    from asyncpg.pool import PoolConnectionProxy

    from payments.dead_letter import DeadLetter
    from payments.refund import Refund
    from store.read.payment_history import StoredEvent
    from store.read.payments import PaymentDetail
    from store.read.webhooks import Delivery

# An id is made right after its row's time.
_WITHIN: Final = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class TransferLine:
    """One row of the ledger, as the payer's account has it."""

    id: UUID
    state: str
    pending_id: UUID | None
    transaction_type: str
    direction: str
    amount_minor: int
    currency: str
    refund_id: UUID | None
    balance_after_minor: int | None
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class MessageLine:
    """An event's message: its place in the order of the outbox, and its trace."""

    topic: str
    position: int | None
    traceparent: str | None


@dataclass(frozen=True, slots=True)
class PaymentTrail:
    """All of it; `messages` by event."""

    transfers: tuple[TransferLine, ...]
    messages: dict[UUID, MessageLine]
    deliveries: tuple[Delivery, ...]
    letters: tuple[DeadLetter, ...]


async def payment_trail(connection: PoolConnectionProxy, found: PaymentDetail) -> PaymentTrail:
    """What is still kept of it: messages for days, deliveries for thirty, the rest for ever."""
    payment, events = found.payment, found.events or ()
    ids = [event.id for event in events]
    messages = bound("event_messages", ids=ids, times=[event.occurred_at for event in events])
    deliveries = bound("event_deliveries", ids=ids, tenant_id=payment.tenant_id)
    letters = bound("payment_letters", payment_id=payment.id, tenant_id=payment.tenant_id)
    moments = _moments(payment.created_at, events, found.refunds)
    transfers = bound(
        "payment_transfers",
        first_ids=[first_id_of(each) for each in moments],
        end_ids=[first_id_of(each + _WITHIN) for each in moments],
        account_id=payment.source_account_id,
        payment_id=payment.id,
    )
    return PaymentTrail(
        transfers=tuple(_transfer(row) for row in await connection.fetch(*transfers)),
        messages={row["id"]: _message(row) for row in await connection.fetch(*messages)},
        deliveries=tuple(delivery_from(row) for row in await connection.fetch(*deliveries)),
        letters=tuple(dead_letter_from(row) for row in await connection.fetch(*letters)),
    )


def _moments(
    created_at: datetime, events: Sequence[StoredEvent], refunds: Iterable[Refund]
) -> list[datetime]:
    """When money may have moved: at its changes, and where these are archived, at its ends."""
    ends = (each.completed_at for each in refunds)
    return sorted({created_at, *(event.occurred_at for event in events), *filter(None, ends)})


def _transfer(row: Record) -> TransferLine:
    return TransferLine(**{name: row[name] for name in TransferLine.__dataclass_fields__})


def _message(row: Record) -> MessageLine:
    return MessageLine(row["topic"], row["position"], row["traceparent"])
