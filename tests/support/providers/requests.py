"""Requests as an agent would make them, for whichever gateway a test is about."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from payments.ids import uuid7
from payments.money import Money
from payments.outcome import Operation
from providers.gateway import CaptureRequest, ChargeRequest, Inquiry, RefundRequest, VoidRequest


def new_id() -> UUID:
    return uuid7(time.time_ns(), int.from_bytes(os.urandom(8)))


@dataclass(frozen=True, slots=True)
class Payment:
    """One payment and the keys of all that is asked for it: the same at every repetition."""

    amount: Money = field(default_factory=lambda: Money(5000, "USD"))
    id: UUID = field(default_factory=new_id)
    refund_id: UUID = field(default_factory=new_id)

    def charge(
        self,
        *,
        capture: bool = True,
        payment_method: str | None = None,
        customer: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> ChargeRequest:
        return ChargeRequest(
            payment_id=self.id,
            idempotency_key=f"{self.id}-charge",
            amount=self.amount,
            capture=capture,
            metadata=metadata or {},
            description="Two books",
            payment_method=payment_method,
            customer=customer,
        )

    def capture(self, reference: str, amount: Money | None = None) -> CaptureRequest:
        return CaptureRequest(
            payment_id=self.id,
            idempotency_key=f"{self.id}-capture",
            provider_reference=reference,
            amount=amount or self.amount,
        )

    def void(self, reference: str) -> VoidRequest:
        return VoidRequest(
            payment_id=self.id, idempotency_key=f"{self.id}-void", provider_reference=reference
        )

    def refund(
        self, reference: str, amount: Money | None = None, refund_id: UUID | None = None
    ) -> RefundRequest:
        refund_id = refund_id or self.refund_id
        return RefundRequest(
            payment_id=self.id,
            idempotency_key=f"{refund_id}-refund",
            provider_reference=reference,
            amount=amount or self.amount,
            refund_id=refund_id,
            reason="the second volume is missing",
        )

    def inquiry(
        self, operation: Operation, reference: str | None = None, amount: Money | None = None
    ) -> Inquiry:
        is_refund = operation is Operation.REFUND
        key = "charge" if operation is Operation.AUTHORIZE else operation.value
        return Inquiry(
            payment_id=self.id,
            idempotency_key=f"{self.refund_id if is_refund else self.id}-{key}",
            operation=operation,
            amount=amount or self.amount,
            provider_reference=reference,
            refund_id=self.refund_id if is_refund else None,
        )
