"""The refund stage: gives captured money back through the payment's provider."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agents.consumer.stage import PoisonError
from payments.commands import ClaimRefund, SettleRefund
from payments.dead_letter import DeadLetterReason
from payments.decisions.provider_work.refund import STAGE
from payments.events import WorkType
from payments.outcome import Operation, Outcome
from providers.gateway import Inquiry, RefundRequest

if TYPE_CHECKING:
    from payments.dead_letter import SourceMessage
    from payments.decision import Claimed
    from payments.outcome import InquiryOutcome
    from payments.refund import Refund
    from providers.gateway import Gateway
    from topics.contracts.payloads import WorkData


@dataclass(frozen=True, slots=True)
class RefundStage:
    """Claims refunds for `worker`, asks their provider, settles them."""

    worker: str
    stage: str = STAGE
    understands: WorkType = WorkType.REFUND

    def claim(self, work: WorkData) -> ClaimRefund:
        """Take the attempt the message names."""
        if work.refund_id is None:
            raise PoisonError(DeadLetterReason.UNDECODABLE, "the message names no refund")
        return ClaimRefund(work.refund_id, work.attempt, self.worker)

    def settle(self, claimed: Claimed, outcome: Outcome, source: SourceMessage) -> SettleRefund:
        """Record what the attempt ended in."""
        attempt = claimed.attempt
        return SettleRefund(
            _refund(claimed).id, attempt.id, outcome, source, is_first=not attempt.inquiry
        )

    async def inquire(self, gateway: Gateway, claimed: Claimed) -> InquiryOutcome:
        """Ask what an earlier attempt at the same refund did."""
        refund = _refund(claimed)
        return await gateway.inquire(
            Inquiry(
                payment_id=claimed.payment.id,
                idempotency_key=claimed.attempt.provider_key,
                operation=Operation.REFUND,
                amount=refund.amount,
                provider_reference=claimed.payment.provider_reference,
                refund_id=refund.id,
                first_asked_at=refund.progress.first_asked_at,
            )
        )

    async def ask(self, gateway: Gateway, claimed: Claimed) -> Outcome:
        """Give the refund's amount back."""
        refund, reference = _refund(claimed), claimed.payment.provider_reference
        assert reference is not None, "only a captured payment is refunded"
        return await gateway.refund(
            RefundRequest(
                payment_id=claimed.payment.id,
                idempotency_key=claimed.attempt.provider_key,
                refund_id=refund.id,
                provider_reference=reference,
                amount=refund.amount,
                reason=refund.reason,
            )
        )


def _refund(claimed: Claimed) -> Refund:
    assert claimed.refund is not None, "a claim of the refund stage carries its refund"
    return claimed.refund
