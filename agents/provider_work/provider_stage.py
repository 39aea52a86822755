"""What a provider stage understands, how it claims it, asks its provider for it and settles it.

Charge and refund are the same stage over different messages: the machine behind their claims
(`payments.decisions.provider_work`) decides what is owed, and here it becomes a call.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

from agents.consumer.delivery import PoisonError
from payments.commands import ClaimPayment, ClaimRefund, SettlePayment, SettleRefund
from payments.dead_letter import DeadLetterReason
from payments.events import WorkType
from payments.money import Money
from payments.outcome import Operation, Outcome
from providers.gateway import CaptureRequest, ChargeRequest, Inquiry, RefundRequest, VoidRequest

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from payments.dead_letter import SourceMessage
    from payments.decision import Claimed
    from payments.outcome import InquiryOutcome
    from payments.payment import Payment
    from providers.gateway import Gateway
    from topics.contracts.payloads import WorkData


@dataclass(frozen=True, slots=True)
class ProviderStage:
    """The stage called `stage`, whose messages are all of the type it `understands`.

    Each claim of its `worker` has an id, by which it is known again.
    """

    stage: str
    understands: WorkType
    worker: str
    new_id: Callable[[], UUID]

    def claim(self, work: WorkData) -> ClaimPayment | ClaimRefund:
        """The claim of the attempt a message names. Raises PoisonError when it cannot be one."""
        if self.understands is WorkType.CHARGE:
            return ClaimPayment(work.payment_id, work.attempt, self.worker, self.new_id())
        if work.refund_id is None:
            raise PoisonError(DeadLetterReason.UNDECODABLE, "the message names no refund")
        return ClaimRefund(work.refund_id, work.attempt, self.worker, self.new_id())


def settling(
    claimed: Claimed, outcome: Outcome, source: SourceMessage, *, is_of_inquiry: bool
) -> SettlePayment | SettleRefund:
    """The command that records what the attempt ended in, at the call or at the inquiry before."""
    attempt = claimed.attempt
    is_first = not attempt.inquiry
    if attempt.refund_id:
        return SettleRefund(
            refund_id=attempt.refund_id,
            attempt_id=attempt.id,
            outcome=outcome,
            source=source,
            is_first=is_first,
            is_of_inquiry=is_of_inquiry,
            provider_key=attempt.provider_key,
        )
    return SettlePayment(
        payment_id=attempt.payment_id,
        attempt_id=attempt.id,
        operation=attempt.operation,
        outcome=outcome,
        source=source,
        is_first=is_first,
        is_of_inquiry=is_of_inquiry,
        provider_key=attempt.provider_key,
    )


async def inquire(gateway: Gateway, claimed: Claimed) -> InquiryOutcome:
    """Ask what an earlier attempt at the same operation did."""
    subject = claimed.refund or claimed.payment
    return await gateway.inquire(
        Inquiry(
            payment_id=claimed.payment.id,
            idempotency_key=claimed.attempt.provider_key,
            operation=claimed.attempt.operation,
            amount=claimed.refund.amount if claimed.refund else _owed(claimed.payment),
            provider_reference=claimed.payment.provider_reference,
            refund_id=claimed.attempt.refund_id,
            first_asked_at=subject.progress.first_asked_at,
        )
    )


async def ask(gateway: Gateway, claimed: Claimed) -> Outcome:
    """The operation that is owed, with the key it has always had."""
    paid, key = claimed.payment, claimed.attempt.provider_key
    match claimed.attempt.operation:
        case Operation.CHARGE | Operation.AUTHORIZE as operation:
            return await gateway.charge(
                ChargeRequest(
                    payment_id=paid.id,
                    idempotency_key=key,
                    amount=paid.amount,
                    capture=operation is Operation.CHARGE,
                    metadata=_texts(paid),
                    description=paid.description,
                    payment_method=_method(paid),
                    customer=paid.customer_reference,
                )
            )
        case Operation.CAPTURE:
            return await gateway.capture(
                CaptureRequest(
                    payment_id=paid.id,
                    idempotency_key=key,
                    provider_reference=_reference(paid),
                    amount=_owed(paid),
                )
            )
        case Operation.VOID:
            return await gateway.void(
                VoidRequest(
                    payment_id=paid.id, idempotency_key=key, provider_reference=_reference(paid)
                )
            )
        case Operation.REFUND:
            assert claimed.refund is not None, "a refund's claim carries its refund"
            return await gateway.refund(
                RefundRequest(
                    payment_id=paid.id,
                    idempotency_key=key,
                    refund_id=claimed.refund.id,
                    provider_reference=_reference(paid),
                    amount=claimed.refund.amount,
                    reason=claimed.refund.reason,
                )
            )
        case never:
            assert_never(never)


def _owed(paid: Payment) -> Money:
    assert paid.operation_minor is not None, "a claimed payment owes an operation"
    return Money(paid.operation_minor, paid.currency)


def _reference(paid: Payment) -> str:
    assert paid.provider_reference is not None, "only what was authorized or captured gets here"
    return paid.provider_reference


def _method(paid: Payment) -> str | None:
    """What is charged; None: what is configured."""
    named = paid.method_named
    return named if isinstance(named, str) and named else None


def _texts(paid: Payment) -> dict[str, str]:
    """What a vendor's metadata can hold of ours."""
    return {name: value for name, value in paid.metadata.items() if isinstance(value, str)}
