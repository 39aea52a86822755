"""What clients are answered: the seed's field names and more, rendered once, to bytes.

What a topic says of a payment and what HTTP says of it are one model; here are only the
additions. Amounts are decimal strings beside whole minor units, times are UTC.
"""

# The annotations are what pydantic reads at run time.
from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Generic, Self, TypedDict, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, RootModel

from lag import StreamsReport
from payments.account import Account
from payments.dead_letter import DeadLetter, DeadLetterState
from payments.events import EventType
from payments.ledger import TransactionType
from payments.money import format_amount
from payments.outcome import Operation
from payments.payment import Payment, PaymentStatus, Provider
from payments.refund import Refund
from store.read.ledger import Balance, Direction, StatementLine
from store.read.payments import AttemptRecord, PaymentDetail, StoredEvent
from store.write.group_commit import Answer
from topics.contracts.payloads import AccountData, DeadLetterData, PaymentData, RefundData

if TYPE_CHECKING:
    from collections.abc import Mapping

JSON: Final = {"Content-Type": "application/json"}
_FROZEN: Final = ConfigDict(frozen=True)

ItemT = TypeVar("ItemT", bound=BaseModel)


class CheckStatus(StrEnum):
    """How something the ingress needs is doing."""

    OK = "ok"
    DEGRADED = "degraded"
    UNAVAILABLE = "unavailable"


def json_answer(status: int, body: BaseModel, headers: Mapping[str, str] | None = None) -> Answer:
    """An answer whose body is a model's JSON."""
    rendered = body.__pydantic_serializer__.to_json(body)
    return Answer(status, {**JSON, **headers} if headers else JSON, rendered)


class AccountResponse(AccountData):
    """An account with its balances."""


class PaymentResponse(PaymentData):
    """A payment."""

    idempotency_key: str | None
    captured: str
    refunded: str
    refundable: str

    @classmethod
    def of(cls, payment: Payment) -> Self:
        """The payment as its owner sees it."""
        return cls(**vars(PaymentData.of(payment)), **_owned(payment))


class RefundResponse(RefundData):
    """A refund."""

    idempotency_key: str | None

    @classmethod
    def of(cls, refund: Refund) -> Self:
        """The refund as its owner sees it."""
        return cls(**vars(RefundData.of(refund)), idempotency_key=refund.idempotency_key)


class AttemptResponse(BaseModel):
    """One try at a provider. `inquiry` asked what became of an earlier try first."""

    model_config = _FROZEN

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

    model_config = _FROZEN

    id: UUID
    type: EventType
    version: int
    sequence: int | None
    occurred_at: datetime
    data: dict[str, object]


class PaymentDetailResponse(PaymentResponse):
    """A payment with everything that happened for it; `events` when asked for."""

    attempts: list[AttemptResponse]
    refunds: list[RefundResponse]
    events: list[PaymentEventResponse] | None = None

    @classmethod
    def detailed(cls, found: PaymentDetail) -> Self:
        """The payment with what belongs to it."""
        events = found.events
        return cls(
            **vars(PaymentData.of(found.payment)),
            **_owned(found.payment),
            attempts=[AttemptResponse.of(each) for each in found.attempts],
            refunds=[RefundResponse.of(each) for each in found.refunds],
            events=None if events is None else [_event(each) for each in events],
        )


class BalanceResponse(BaseModel):
    """What an account has, what of it may be spent, and what is held; now, or `as_of` then."""

    model_config = _FROZEN

    account_id: UUID
    currency: str
    balance: str
    balance_minor: int
    available: str
    available_minor: int
    pending: str
    pending_minor: int
    as_of: datetime | None

    @classmethod
    def now(cls, account: Account) -> Self:
        """What the account has."""
        return cls._of(account.id, account.currency, account.balance, account.debits_pending, None)

    @classmethod
    def then(cls, account_id: UUID, balance: Balance, as_of: datetime) -> Self:
        """What an account had."""
        return cls._of(
            account_id, balance.currency, balance.posted_minor, balance.held_minor, as_of
        )

    @classmethod
    def _of(
        cls, account_id: UUID, currency: str, posted: int, held: int, as_of: datetime | None
    ) -> Self:
        return cls(
            account_id=account_id,
            currency=currency,
            balance=format_amount(posted, currency),
            balance_minor=posted,
            available=format_amount(posted - held, currency),
            available_minor=posted - held,
            pending=format_amount(held, currency),
            pending_minor=held,
            as_of=as_of,
        )


class TransactionResponse(BaseModel):
    """A line of an account's statement. `amount` is positive; `direction` says which way."""

    model_config = _FROZEN

    id: UUID
    transaction_type: TransactionType
    direction: Direction
    amount: str
    amount_minor: int
    currency: str
    balance_after: str
    balance_after_minor: int
    description: str | None
    payment_id: UUID | None
    refund_id: UUID | None
    created_at: datetime

    @classmethod
    def of(cls, line: StatementLine) -> Self:
        """The line as its owner sees it."""
        return cls(
            id=line.id,
            transaction_type=line.transaction_type,
            direction=line.direction,
            amount=format_amount(line.amount_minor, line.currency),
            amount_minor=line.amount_minor,
            currency=line.currency,
            balance_after=format_amount(line.balance_after_minor, line.currency),
            balance_after_minor=line.balance_after_minor,
            description=line.description,
            payment_id=line.payment_id,
            refund_id=line.refund_id,
            created_at=line.recorded_at,
        )


class DeadLetterResponse(DeadLetterData):
    """A dead letter with the original bytes in base64."""


class DeadLetterDetailResponse(DeadLetterResponse):
    """A dead letter, and the letters that wait behind it, in the order of their messages."""

    waiting: list[UUID]

    @classmethod
    def detailed(cls, letter: DeadLetter, waiting: list[UUID]) -> Self:
        """The letter with its queue."""
        return cls(**vars(DeadLetterData.of(letter)), waiting=waiting)


class Page(BaseModel, Generic[ItemT]):
    """A page of a list, newest first; `next_cursor` asks for the next one, null ends the list."""

    model_config = _FROZEN

    data: list[ItemT]
    next_cursor: str | None


class StreamsResponse(RootModel[StreamsReport]):
    """Lag of every stage and group, replication slot and stream; null means not known."""


class CheckResponse(BaseModel):
    """One thing the ingress needs. `degraded` means: done without."""

    model_config = _FROZEN

    status: CheckStatus
    seconds: float
    detail: str | None = None


class HealthResponse(BaseModel):
    """Whether the ingress can do its work, and how it knows."""

    model_config = _FROZEN

    status: CheckStatus
    checks: dict[str, CheckResponse] = {}


class ProblemErrorResponse(BaseModel):
    """What is wrong with one part of a request: a JSON pointer into the body, or a parameter."""

    model_config = _FROZEN

    reason: str
    pointer: str | None = None
    parameter: str | None = None


class ProblemResponse(BaseModel):
    """Every answer that is not a success (RFC 9457). `code` is stable; branch on it.

    Who is refused for the state of an account, a payment or a dead letter is told that state.
    """

    model_config = _FROZEN

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    retryable: bool
    request_id: str
    errors: list[ProblemErrorResponse]
    error: str
    # Of the row that said no: a client need not ask again to know where it stands.
    account_version: int | None = None
    payment_status: PaymentStatus | None = None
    dead_letter_state: DeadLetterState | None = None


class _Owned(TypedDict):
    idempotency_key: str | None
    captured: str
    refunded: str
    refundable: str


def _owned(payment: Payment) -> _Owned:
    """What the payment's owner sees and the topics do not say."""
    currency = payment.currency
    return {
        "idempotency_key": payment.idempotency_key,
        "captured": format_amount(payment.captured_minor, currency),
        "refunded": format_amount(payment.refunded_minor, currency),
        "refundable": format_amount(payment.refundable_minor, currency),
    }


def _event(event: StoredEvent) -> PaymentEventResponse:
    return PaymentEventResponse(
        id=event.id,
        type=event.type,
        version=event.version,
        sequence=event.sequence,
        occurred_at=event.occurred_at,
        data=dict(event.data),
    )
