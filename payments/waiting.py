"""Why a payment or a refund is not done: what it waits for, and until when at the latest.

It is read from what is recorded, and from how its provider is now; nothing decides by it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from payments.outcome import Operation
from payments.payment import Payment, PaymentStatus
from payments.provider_state import ProviderState
from payments.record import Struct
from payments.refund import RefundStatus

if TYPE_CHECKING:
    from datetime import datetime

    from payments.attempt import Attempt, AttemptResult
    from payments.provider_state import ProviderCondition
    from payments.refund import Refund


class WaitsFor(StrEnum):
    """Whose turn it is.

    `worker`: its work is on the way to one. `answer`: the provider is being asked. `retry`: it is
    tried again, or asked after, at a time. `provider`: the provider takes nothing, or less, just
    now. `capture`: the client's word. `review`, `dead_letter`: an operator.
    """

    WORKER = "worker"
    ANSWER = "answer"
    RETRY = "retry"
    PROVIDER = "provider"
    CAPTURE = "capture"
    REVIEW = "review"
    DEAD_LETTER = "dead_letter"


class Waiting(Struct, frozen=True):
    """What is waited for, with what is owed, why, and by when it is seen to whatever happens.

    `reason` is in words; `provider_state` is there where a provider has one.
    """

    waits_for: WaitsFor
    operation: Operation | None
    provider_state: ProviderState | None
    reason: str | None
    until: datetime | None


class LastTry(Struct, frozen=True):
    """The last attempt at what is owed, and what it ended in if it has."""

    attempt: Attempt
    result: AttemptResult | None


def waiting_of(
    payment: Payment, condition: ProviderCondition | None, last: LastTry | None
) -> Waiting | None:
    """What a payment waits for; None when nothing is owed to it, by anybody."""
    if payment.awaits_capture:
        return Waiting(
            WaitsFor.CAPTURE, Operation.CAPTURE, None, None, payment.authorization_expires_at
        )
    if payment.operation is None:
        return None
    is_in_review = payment.status is PaymentStatus.REVIEW
    waits_for = WaitsFor.REVIEW if is_in_review else None
    if payment.charge_blocked_by is not None:
        waits_for = WaitsFor.DEAD_LETTER
    return _waiting(payment, payment.operation, waits_for, condition, last)


def waiting_of_refund(
    refund: Refund, payment: Payment, condition: ProviderCondition | None, last: LastTry | None
) -> Waiting | None:
    """What a refund waits for; None when it has ended."""
    if refund.progress.due_at is None:
        return None
    waits_for = WaitsFor.REVIEW if refund.status is RefundStatus.REVIEW else None
    if payment.refund_blocked_by is not None:
        waits_for = WaitsFor.DEAD_LETTER
    return _waiting(refund, Operation.REFUND, waits_for, condition, last)


def _waiting(
    subject: Payment | Refund,
    operation: Operation,
    person: WaitsFor | None,
    condition: ProviderCondition | None,
    last: LastTry | None,
) -> Waiting:
    until = subject.progress.due_at
    state = condition.state if condition else None
    if person is not None:
        return Waiting(person, operation, state, subject.last_error, until)
    if subject.progress.lease_id is not None:
        return Waiting(WaitsFor.ANSWER, operation, state, None, until)
    if condition is not None and condition.state is not ProviderState.WELL:
        return Waiting(WaitsFor.PROVIDER, operation, state, condition.reason, None)
    result = last.result if last else None
    # Sent again it has changed since; waiting for its time it has not.
    if result is not None and result.finished_at >= subject.updated_at:
        return Waiting(WaitsFor.RETRY, operation, state, result.error or result.error_code, until)
    return Waiting(WaitsFor.WORKER, operation, state, None, until)
