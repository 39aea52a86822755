"""Why a payment is not done, for whoever reads it: its own state, and how its provider is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from payments.decisions.provider_work.payment import STAGE as CHARGE
from payments.decisions.provider_work.refund import STAGE as REFUND
from payments.waiting import LastTry, Waiting, waiting_of, waiting_of_refund
from store.read.provider_states import provider_condition

if TYPE_CHECKING:
    from uuid import UUID

    from asyncpg.pool import PoolConnectionProxy

    from payments.outcome import Operation
    from payments.provider_state import ProviderCondition
    from store.read.payments import PaymentDetail


async def waiting_for(connection: PoolConnectionProxy, found: PaymentDetail) -> Waiting | None:
    """What the payment waits for or, when it owes nothing, the first of its refunds that does."""
    payment = found.payment
    if payment.operation is not None or payment.awaits_capture:
        condition = await _condition(connection, found, CHARGE)
        return waiting_of(payment, condition, _last_try(found, payment.operation, None))
    for refund in found.refunds:
        if refund.progress.due_at is not None:
            condition = await _condition(connection, found, REFUND)
            last = _last_try(found, None, refund.id)
            return waiting_of_refund(refund, payment, condition, last)
    return None


async def _condition(
    connection: PoolConnectionProxy, found: PaymentDetail, stage: str
) -> ProviderCondition | None:
    provider = found.payment.provider
    return await provider_condition(connection, provider, stage) if provider else None


def _last_try(
    found: PaymentDetail, operation: Operation | None, refund_id: UUID | None
) -> LastTry | None:
    """The last attempt at a refund, or at what the payment owes."""
    for record in found.attempts:
        attempt = record.attempt
        if attempt.refund_id == refund_id and operation in {None, attempt.operation}:
            return LastTry(attempt, record.result)
    return None
