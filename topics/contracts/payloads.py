"""What the messages say: one model a kind of payload, and how it is made from the core's entities.

Amounts are decimal texts with the currency's digits beside whole minor units, times
are UTC. A payload is the entity after the change, so the last event of a payment is
the payment.
"""

# The annotations are what pydantic reads at run time.
from __future__ import annotations

import base64
from datetime import datetime
from typing import TYPE_CHECKING, Final, Self, cast
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from payments.account import Account, AccountStatus
from payments.dead_letter import DeadLetter, DeadLetterReason, DeadLetterState, SourceMessage
from payments.dispute import Dispute
from payments.money import format_amount
from payments.outcome import Operation
from payments.payment import CaptureMethod, Payment, PaymentStatus, PaymentType
from payments.record import replace
from payments.refund import Refund, RefundOrigin, RefundStatus
from payments.standing import DisputeKind, DisputeState
from topics.contracts.provider_names import Provider

if TYPE_CHECKING:
    from payments.events import Work

FROZEN: Final = ConfigDict(frozen=True)


class PaymentData(BaseModel):
    """A payment as the world sees it."""

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
    # Until when what was authorized may be captured; messages from before it was told lack it.
    authorization_expires_at: datetime | None = None
    # What its provider has taken back for disputes, now; older messages lack it.
    disputed_minor: int = 0

    @classmethod
    def of(cls, payment: Payment) -> Self:
        """The payment's public side; nothing in it came from outside unchecked."""
        return cls(
            id=payment.id,
            payment_type=payment.payment_type,
            source_account_id=payment.source_account_id,
            destination_account_id=payment.destination_account_id,
            amount=payment.amount.decimal,
            amount_minor=payment.amount.amount_minor,
            currency=payment.currency,
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
            disputed_minor=payment.disputed_minor,
        )


class RefundData(BaseModel):
    """A refund as the world sees it."""

    model_config = FROZEN

    id: UUID
    payment_id: UUID
    amount: str
    amount_minor: int
    currency: str
    status: RefundStatus
    reason: str | None
    provider: Provider | None
    provider_transaction_id: str | None
    retry_count: int
    last_error_code: str | None
    last_error: str | None
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None
    # Who asked for it; older messages lack it, and are of clients'.
    origin: RefundOrigin = RefundOrigin.CLIENT

    @classmethod
    def of(cls, refund: Refund) -> Self:
        """The refund's public side."""
        return cls(
            id=refund.id,
            payment_id=refund.payment_id,
            amount=refund.amount.decimal,
            amount_minor=refund.amount.amount_minor,
            currency=refund.amount.currency,
            status=refund.status,
            reason=refund.reason,
            provider=refund.provider,
            provider_transaction_id=refund.provider_reference,
            retry_count=refund.progress.retry_count,
            last_error_code=refund.last_error_code,
            last_error=refund.last_error,
            created_at=refund.created_at,
            updated_at=refund.updated_at,
            completed_at=refund.completed_at,
            origin=refund.origin,
        )


class DisputeData(BaseModel):
    """A dispute or a reversal as the world sees it; `withdrawn` is taken by the provider now."""

    model_config = FROZEN

    id: UUID
    payment_id: UUID
    provider: Provider
    reference: str
    kind: DisputeKind
    state: DisputeState
    amount: str
    amount_minor: int
    currency: str
    withdrawn_minor: int
    reason: str | None
    created_at: datetime
    updated_at: datetime
    closed_at: datetime | None

    @classmethod
    def of(cls, dispute: Dispute) -> Self:
        """The dispute's public side."""
        return cls(
            id=dispute.id,
            payment_id=dispute.payment_id,
            provider=dispute.provider,
            reference=dispute.reference,
            kind=dispute.kind,
            state=dispute.state,
            amount=dispute.amount.decimal,
            amount_minor=dispute.amount.amount_minor,
            currency=dispute.amount.currency,
            withdrawn_minor=dispute.withdrawn_minor,
            reason=dispute.reason,
            created_at=dispute.created_at,
            updated_at=dispute.updated_at,
            closed_at=dispute.closed_at,
        )


class AccountData(BaseModel):
    """An account and its balances as the world sees them."""

    model_config = FROZEN

    id: UUID
    user_id: str
    currency: str
    status: AccountStatus
    balance: str
    balance_minor: int
    available: str
    available_minor: int
    pending: str
    pending_minor: int
    version: int
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, account: Account) -> Self:
        """The account's public side; `pending` is what is held."""
        currency = account.currency
        return cls(
            id=account.id,
            user_id=account.user_id,
            currency=currency,
            status=account.status,
            balance=format_amount(account.balance, currency),
            balance_minor=account.balance,
            available=format_amount(account.available, currency),
            available_minor=account.available,
            pending=format_amount(account.debits_pending, currency),
            pending_minor=account.debits_pending,
            version=account.version,
            created_at=account.created_at,
            updated_at=account.updated_at,
        )


class WorkData(BaseModel):
    """What a stage is asked: make attempt number `attempt` at this payment or refund.

    `provider` lets a stage keep a slow provider's work apart before it has read the row, and
    `operation` what the provider fails at from what it does.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    payment_id: UUID
    refund_id: UUID | None = None
    provider: Provider | None = None
    operation: Operation | None = None
    attempt: int

    @classmethod
    def of(cls, work: Work) -> Self:
        """The message's body."""
        return cls(
            payment_id=work.payment_id,
            refund_id=work.refund_id,
            provider=work.provider,
            operation=work.operation,
            attempt=work.attempt,
        )


# So that a letter is smaller than the message it is about may be: brokers take 1 MiB by default.
_BYTES_MAX: Final = {"key": 4_096, "value": 393_216, "headers": 65_536, "error": 8_192}


class DeadLetterData(BaseModel):
    """A dead letter with the original bytes in base64 (RFC 4648)."""

    model_config = FROZEN

    id: UUID
    stage: str
    reason: DeadLetterReason
    error: str
    state: DeadLetterState
    attempts: int
    payment_id: UUID | None
    refund_id: UUID | None
    topic: str
    partition: int
    offset: int
    key_base64: str | None
    value_base64: str | None
    headers: dict[str, str]
    first_failed_at: datetime
    last_failed_at: datetime
    resolved_at: datetime | None
    resolved_by: str | None
    resolution: str | None
    # Whose queue it stands in and which letter is in its way there; older messages lack both.
    queued_for: UUID | None = None
    waits_behind: UUID | None = None
    # How many bytes each part had that is shortened here; the letter keeps it whole.
    cut: dict[str, int] = Field(default_factory=dict)

    @classmethod
    def bounded(cls, letter: DeadLetter) -> Self:
        """The letter as a topic carries it: of what is long the beginning, and what is cut."""
        source, error = letter.source, letter.error.encode()
        sizes = {
            "key": len(source.key or b""),
            "value": len(source.value or b""),
            "headers": sum(
                len(f"{name}{value}".encode()) for name, value in source.headers.items()
            ),
            "error": len(error),
        }
        cut = {part: size for part, size in sizes.items() if size > _BYTES_MAX[part]}
        if not cut:
            return cls.of(letter)
        shortened = replace(
            source,
            key=source.key and source.key[: _BYTES_MAX["key"]],
            value=source.value and source.value[: _BYTES_MAX["value"]],
            headers={} if "headers" in cut else source.headers,
        )
        told = error[: _BYTES_MAX["error"]].decode(errors="ignore")
        return cls.of(replace(letter, source=shortened, error=told)).model_copy(update={"cut": cut})

    @classmethod
    def of(cls, letter: DeadLetter) -> Self:
        """The letter, whole."""
        source = letter.source
        return cls(
            id=letter.id,
            stage=letter.stage,
            reason=letter.reason,
            error=letter.error,
            state=letter.state,
            attempts=letter.attempts,
            payment_id=letter.payment_id,
            refund_id=letter.refund_id,
            topic=source.topic,
            partition=source.partition,
            offset=source.offset,
            key_base64=_base64(source.key),
            value_base64=_base64(source.value),
            headers=dict(source.headers),
            first_failed_at=letter.first_failed_at,
            last_failed_at=letter.last_failed_at,
            resolved_at=letter.resolved_at,
            resolved_by=letter.resolved_by,
            resolution=letter.resolution,
            queued_for=letter.queued_for,
            waits_behind=letter.waits_behind,
        )

    def original(self) -> SourceMessage:
        """The message the letter is about. Raises ValueError for what is no base64."""
        return SourceMessage(
            topic=self.topic,
            partition=self.partition,
            offset=self.offset,
            key=_bytes(self.key_base64),
            value=_bytes(self.value_base64),
            headers=self.headers,
        )


class PaymentEventData(BaseModel):
    """The value on `payments.events`: the payment after the change, and what that is about."""

    model_config = FROZEN

    payment: PaymentData
    refund: RefundData | None = None
    dispute: DisputeData | None = None


class AccountEventData(BaseModel):
    """The value on `payments.accounts`."""

    model_config = FROZEN

    account: AccountData


class DeadLetterEventData(BaseModel):
    """The value on `payments.dlq`."""

    model_config = FROZEN

    dead_letter: DeadLetterData


def _base64(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode("ascii")


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text, validate=True)
