"""A payment, alone or with the newest of its attempts, its refunds and its history.

What the topics say of it is a contract of its own (`topics.contracts.payloads`): a field added
there is none here before somebody decides so. Amounts are decimal strings beside whole minor
units, times are UTC.
"""

# The annotations are what pydantic reads at run time.
from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final, Self, TypeAlias, TypeVar, cast
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from api.contract.responses.answers import FROZEN
from api.contract.responses.refunds import RefundResponse
from payments.events import EventType
from payments.money import format_amount
from payments.outcome import Operation
from payments.payment import CaptureMethod, Payment, PaymentStatus, PaymentType
from payments.provider_state import ProviderState
from payments.refund import Refund
from payments.waiting import Waiting, WaitsFor
from store.read.payment_history import AttemptRecord, StoredEvent
from topics.contracts.provider_names import Provider


class PaymentResponse(BaseModel):
    """A payment."""

    model_config = FROZEN

    id: UUID
    payment_type: PaymentType
    source_account_id: UUID
    destination_account_id: UUID | None
    amount: str
    amount_minor: int
    currency: str
    status: PaymentStatus
    capture_method: CaptureMethod
    captured_minor: int
    refunded_minor: int
    provider: Provider | None
    provider_transaction_id: str | None
    description: str | None
    metadata: dict[str, JsonValue]
    retry_count: int
    max_retries: int
    last_error_code: str | None
    last_error: str | None
    version: int
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None
    # Until when what was authorized may be captured.
    authorization_expires_at: datetime | None = None
    idempotency_key: str | None
    captured: str
    refunded: str
    refundable: str
    # What its provider has taken back for disputes, now.
    disputed: str
    disputed_minor: int

    @classmethod
    def of(cls, payment: Payment) -> Self:
        """The payment as its owner sees it."""
        currency = payment.currency
        return cls(
            id=payment.id,
            payment_type=payment.payment_type,
            source_account_id=payment.source_account_id,
            destination_account_id=payment.destination_account_id,
            amount=payment.amount.decimal,
            amount_minor=payment.amount.amount_minor,
            currency=currency,
            status=payment.status,
            capture_method=payment.capture_method,
            captured_minor=payment.captured_minor,
            refunded_minor=payment.refunded_minor,
            provider=payment.provider,
            provider_transaction_id=payment.provider_reference,
            description=payment.description,
            # It came in as a JSON object, and is kept as one.
            metadata=cast("dict[str, JsonValue]", payment.metadata),
            retry_count=payment.progress.retry_count,
            max_retries=payment.progress.max_retries,
            last_error_code=payment.last_error_code,
            last_error=payment.last_error,
            version=payment.version,
            created_at=payment.created_at,
            updated_at=payment.updated_at,
            completed_at=payment.completed_at,
            authorization_expires_at=payment.authorization_expires_at,
            idempotency_key=payment.idempotency_key,
            captured=format_amount(payment.captured_minor, currency),
            refunded=format_amount(payment.refunded_minor, currency),
            refundable=format_amount(payment.refundable_minor, currency),
            disputed=format_amount(payment.disputed_minor, currency),
            disputed_minor=payment.disputed_minor,
        )


class AttemptResponse(BaseModel):
    """One try at a provider. `inquiry` asked what became of an earlier try first."""

    model_config = FROZEN

    id: UUID
    number: int
    operation: Operation
    refund_id: UUID | None
    inquiry: bool
    provider: Provider
    outcome: str | None
    provider_transaction_id: str | None
    error_code: str | None
    error: str | None
    started_at: datetime
    finished_at: datetime | None

    @classmethod
    def of(cls, record: AttemptRecord) -> Self:
        """The attempt and, once it ended, how."""
        attempt, result = record.attempt, record.result
        return cls(
            id=attempt.id,
            number=attempt.number,
            operation=attempt.operation,
            refund_id=attempt.refund_id,
            inquiry=attempt.inquiry,
            provider=attempt.provider,
            outcome=result.outcome if result else None,
            provider_transaction_id=result.provider_reference if result else None,
            error_code=result.error_code if result else None,
            error=result.error if result else None,
            started_at=attempt.started_at,
            finished_at=result.finished_at if result else None,
        )


class PaymentEventResponse(BaseModel):
    """One change of a payment; `sequence` numbers those that were published."""

    model_config = FROZEN

    id: UUID
    type: EventType
    version: int
    sequence: int | None
    occurred_at: datetime
    data: dict[str, object]

    @classmethod
    def of(cls, event: StoredEvent) -> Self:
        """The change as it was recorded."""
        return cls(
            id=event.id,
            type=event.type,
            version=event.version,
            sequence=event.sequence,
            occurred_at=event.occurred_at,
            data=dict(event.data),
        )


class WaitingResponse(BaseModel):
    """Why a payment, or else the first of its open refunds, is not done.

    `for` says whose turn it is: `worker`, its work is on the way to one; `answer`, the provider
    is being asked; `retry`, it is tried again, or asked after; `provider`, the provider takes
    nothing, or less, just now, and when it does the work goes on by itself; `capture`, it is to
    be captured; `review` and `dead_letter`, an operator. By `until` it is looked at again.
    """

    model_config = ConfigDict(frozen=True, serialize_by_alias=True)

    waits_for: WaitsFor = Field(alias="for")
    operation: Operation | None
    provider_state: ProviderState | None
    reason: str | None
    until: datetime | None

    @classmethod
    def of(cls, waiting: Waiting) -> Self:
        """The same, for clients."""
        return cls.model_validate(
            {
                "for": waiting.waits_for,
                "operation": waiting.operation,
                "provider_state": waiting.provider_state,
                "reason": waiting.reason,
                "until": waiting.until,
            }
        )


# As many as a page of the list may have.
SHOWN_MAX: Final = 100
_PART: Final = (
    f"The newest {SHOWN_MAX}, oldest first. "
    "Where there are more, `{name}_next_cursor` leads to them in "
    "`/api/v1/payments/{{id}}/{name}`, newest first."
)
ItemT = TypeVar("ItemT")
# What is shown of a list, newest first, and the cursor of the rest.
Shown: TypeAlias = tuple[Sequence[ItemT], str | None]


class PaymentDetailResponse(PaymentResponse):
    """A payment with the newest of what happened for it; `events` when asked for.

    `waiting` is null when nothing is owed any more, by anybody.
    """

    waiting: WaitingResponse | None
    attempts: Annotated[list[AttemptResponse], Field(description=_PART.format(name="attempts"))]
    attempts_next_cursor: str | None = None
    refunds: Annotated[list[RefundResponse], Field(description=_PART.format(name="refunds"))]
    refunds_next_cursor: str | None = None
    events: Annotated[
        list[PaymentEventResponse] | None, Field(description=_PART.format(name="events"))
    ] = None
    events_next_cursor: str | None = None
    # Attempts and events from before then were taken out into an archive; null: all are here.
    history_archived_at: datetime | None = None

    @classmethod
    def detailed(
        cls,
        payment: Payment,
        waiting: Waiting | None,
        *,
        attempts: Shown[AttemptRecord],
        refunds: Shown[Refund],
        events: Shown[StoredEvent] | None,
        history_archived_at: datetime | None,
    ) -> Self:
        """The payment with what belongs to it."""
        tried = sorted(attempts[0], key=lambda record: record.attempt.id)
        return cls(
            **vars(PaymentResponse.of(payment)),
            waiting=WaitingResponse.of(waiting) if waiting else None,
            attempts=[AttemptResponse.of(each) for each in tried],
            attempts_next_cursor=attempts[1],
            refunds=[RefundResponse.of(each) for each in reversed(refunds[0])],
            refunds_next_cursor=refunds[1],
            events=events and [PaymentEventResponse.of(each) for each in reversed(events[0])],
            events_next_cursor=events and events[1],
            history_archived_at=history_archived_at,
        )
