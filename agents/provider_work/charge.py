"""The charge stage: charges, authorizes, captures and voids at the payment's provider."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

from payments.commands import ClaimPayment, SettlePayment
from payments.decisions.provider_work.payment import STAGE
from payments.events import WorkType
from payments.money import Money
from payments.outcome import Operation, Outcome
from providers.gateway import CaptureRequest, ChargeRequest, Inquiry, VoidRequest

if TYPE_CHECKING:
    from payments.dead_letter import SourceMessage
    from payments.decision import Claimed
    from payments.outcome import InquiryOutcome
    from payments.payment import Payment
    from providers.gateway import Gateway
    from topics.contracts.payloads import WorkData


@dataclass(frozen=True, slots=True)
class ChargeStage:
    """Claims payments for `worker`, asks their provider, settles them."""

    worker: str
    stage: str = STAGE
    understands: WorkType = WorkType.CHARGE

    def claim(self, work: WorkData) -> ClaimPayment:
        """Take the attempt the message names."""
        return ClaimPayment(work.payment_id, work.attempt, self.worker)

    def settle(self, claimed: Claimed, outcome: Outcome, source: SourceMessage) -> SettlePayment:
        """Record what the attempt ended in."""
        attempt = claimed.attempt
        return SettlePayment(
            payment_id=attempt.payment_id,
            attempt_id=attempt.id,
            operation=attempt.operation,
            outcome=outcome,
            source=source,
            is_first=not attempt.inquiry,
        )

    async def inquire(self, gateway: Gateway, claimed: Claimed) -> InquiryOutcome:
        """Ask what an earlier attempt at the same operation did."""
        return await gateway.inquire(
            Inquiry(
                payment_id=claimed.payment.id,
                idempotency_key=claimed.attempt.provider_key,
                operation=claimed.attempt.operation,
                amount=_owed(claimed.payment),
                provider_reference=claimed.payment.provider_reference,
                first_asked_at=claimed.payment.progress.first_asked_at,
            )
        )

    async def ask(self, gateway: Gateway, claimed: Claimed) -> Outcome:
        """The operation the payment owes its provider."""
        payment, key = claimed.payment, claimed.attempt.provider_key
        match claimed.attempt.operation:
            case Operation.CHARGE | Operation.AUTHORIZE as operation:
                return await gateway.charge(
                    ChargeRequest(
                        payment_id=payment.id,
                        idempotency_key=key,
                        amount=payment.amount,
                        capture=operation is Operation.CHARGE,
                        metadata=_texts(payment),
                        description=payment.description,
                    )
                )
            case Operation.CAPTURE:
                return await gateway.capture(
                    CaptureRequest(
                        payment_id=payment.id,
                        idempotency_key=key,
                        provider_reference=_reference(payment),
                        amount=_owed(payment),
                    )
                )
            case Operation.VOID:
                return await gateway.void(
                    VoidRequest(
                        payment_id=payment.id,
                        idempotency_key=key,
                        provider_reference=_reference(payment),
                    )
                )
            case Operation.REFUND:
                raise AssertionError("a payment owes no refund: refunds have a stage of their own")
            case never:
                assert_never(never)


def _owed(payment: Payment) -> Money:
    assert payment.operation_minor is not None, "a claimed payment owes an operation"
    return Money(payment.operation_minor, payment.currency)


def _reference(payment: Payment) -> str:
    assert payment.provider_reference is not None, "only an authorized payment gets here"
    return payment.provider_reference


def _texts(payment: Payment) -> dict[str, str]:
    """What a vendor's metadata can hold of ours."""
    return {name: value for name, value in payment.metadata.items() if isinstance(value, str)}
