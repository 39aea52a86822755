"""What every payment provider can be asked, and the answers that are ours rather than a vendor's.

A gateway never raises for anything a network or a provider can do: it returns an outcome of
`payments.outcome`, which speaks of that one call. `Retriable` after an earlier `Unknown`
under the same key does not settle what the earlier call did; only an inquiry, or an answer
under the same key, does. The same holds for an inquiry: only `Succeeded`, `Declined` and
`NotFound` say something about the operation asked after, the rest that nothing was learnt.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Protocol, assert_never
from uuid import UUID

from payments.money import Money
from payments.outcome import (
    Declined,
    Deferred,
    InquiryOutcome,
    NotFound,
    Operation,
    Outcome,
    Retriable,
    Unknown,
)
from payments.provider_rules import Breach, ProviderRules
from payments.record import Struct, field
from payments.standing import Standing

Look = Standing | NotFound | Retriable | Deferred | Unknown

_UUID7: Final = 7


class Gateway(Protocol):
    """One provider. Calls may run concurrently; each is safe to repeat under its own key.

    It is asked for nothing that its capabilities leave out (`providers.protected` sees to that),
    so that one which cannot authorize may inherit `capture` and `void`.
    """

    @property
    def name(self) -> str: ...

    @property
    def capabilities(self) -> Capabilities: ...

    async def charge(self, request: ChargeRequest) -> Outcome:
        """Move the money now, or with `capture=False` only authorize it.

        `Succeeded.reference` is all that capture, void, refund and inquiry need later.
        """
        ...

    async def capture(self, request: CaptureRequest) -> Outcome:
        """Take an authorized amount or less; what is not taken is released.

        `Succeeded.reference` replaces the authorization's: refunds need it.
        """
        raise NotImplementedError

    async def void(self, request: VoidRequest) -> Outcome:
        """Release an authorization; `Succeeded` also when it was released before."""
        raise NotImplementedError

    async def refund(self, request: RefundRequest) -> Outcome:
        """Give back all of a charge or a part; `Succeeded.reference` names the refund."""
        ...

    async def inquire(self, inquiry: Inquiry) -> InquiryOutcome:
        """What became of an earlier call whose outcome is unknown; moves no money.

        `NotFound` is about this instant and what can be read in it: a request still under
        way can take effect later, and a busy account is not read to its end. What follows
        is the same call under the same key within its window, never a failed payment.
        """
        ...

    async def look(self, query: StandingQuery) -> Look:
        """All there is of a payment, as it is now; moves no money.

        `NotFound`: there is nothing of it. Anything else but a `Standing`: not all could be read.
        """
        del query
        title = self.capabilities.rules.title
        return Unknown(Trouble.INCONCLUSIVE, f"{title} shows no payment as a whole")

    async def aclose(self) -> None:
        """Close the connections; calls under way end as they would on a broken network."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a provider can be asked for: what its rules let pass, and what can be asked after.

    `key_window_s` is the least time, in seconds, for which it promises to remember a key: within
    it a repeated call has one effect, after it perhaps two. `inquiries` are the operations that
    can be asked after.
    """

    rules: ProviderRules
    key_window_s: float
    inquiries: frozenset[Operation] = frozenset(Operation)

    def refusal(self, request: AnyRequest) -> Declined | Unknown | None:
        """The answer to what it cannot be asked, and so had no effect; None if it can be."""
        operation, title = operation_of(request), self.rules.title
        if isinstance(request, Inquiry):
            # It was asked for once, when it could be: that it cannot now is no answer.
            if operation not in self.inquiries:
                return Unknown(Trouble.INCONCLUSIVE, f"{title} cannot be asked after a {operation}")
            if not self.rules.expresses(request.amount):
                return Unknown(Trouble.INCONCLUSIVE, f"{title} cannot express {request.amount}")
            return None
        amount = None if isinstance(request, VoidRequest) else request.amount
        broken = self.rules.broken_by(operation, amount)
        return Declined(_DECLINES[broken.breach], broken.detail) if broken else None


class _Request(Struct, frozen=True, kw_only=True):
    """What every call carries; `traceparent` is sent on as the W3C header of that name."""

    payment_id: UUID
    idempotency_key: str
    traceparent: str | None = None


class ChargeRequest(_Request, frozen=True, kw_only=True):
    """`payment_method` is charged, None: what is configured; it is attached to `customer`, if any.

    A method of a customer's is charged without the customer: nobody is there to confirm it.
    """

    amount: Money
    capture: bool = True
    metadata: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    description: str | None = None
    payment_method: str | None = None
    customer: str | None = None


class CaptureRequest(_Request, frozen=True, kw_only=True):
    """`provider_reference` is the authorization's."""

    provider_reference: str
    amount: Money


class VoidRequest(_Request, frozen=True, kw_only=True):
    """`provider_reference` is the authorization's."""

    provider_reference: str


class RefundRequest(_Request, frozen=True, kw_only=True):
    """`provider_reference` is the charge's, or the capture's where there was one."""

    refund_id: UUID
    provider_reference: str
    amount: Money
    reason: str | None = None


class Inquiry(_Request, frozen=True, kw_only=True):
    """Which earlier call is asked after: its operation, key and amount.

    `provider_reference` is what that call was given (capture, void, refund) or what is
    known of its result; None for a charge that was never answered. `first_asked_at` is
    when that call was first made, or None to go by the payment's own id, which is
    earlier or the same.
    """

    operation: Operation
    amount: Money
    provider_reference: str | None = None
    refund_id: UUID | None = None
    first_asked_at: datetime | None = None

    @property
    def asked_since(self) -> datetime | None:
        """No request of this payment is older; None when that cannot be known."""
        return self.first_asked_at or _made_at(self.payment_id)


class StandingQuery(Struct, frozen=True, kw_only=True):
    """Which payment is looked at: ours, or whose object the provider names; one of them is given.

    `provider_reference` is what is known of its charge or authorization, or as a notification
    gave it (`ReferenceNotification`).
    """

    payment_id: UUID | None = None
    provider_reference: str | None = None
    traceparent: str | None = None

    @property
    def asked_since(self) -> datetime | None:
        """No request of this payment is older; None when that cannot be known."""
        return _made_at(self.payment_id) if self.payment_id else None


AnyRequest = ChargeRequest | CaptureRequest | VoidRequest | RefundRequest | Inquiry


def _made_at(payment_id: UUID) -> datetime | None:
    if payment_id.version != _UUID7:
        return None
    try:
        return datetime.fromtimestamp((payment_id.int >> 80) / 1000, UTC)
    except (ValueError, OverflowError):  # none of ours: its 48 bits go on to the year 10889
        return None


def operation_of(request: AnyRequest) -> Operation:
    """What the request asks for, or after."""
    match request:
        case ChargeRequest(capture=capture):
            return Operation.CHARGE if capture else Operation.AUTHORIZE
        case CaptureRequest():
            return Operation.CAPTURE
        case VoidRequest():
            return Operation.VOID
        case RefundRequest():
            return Operation.REFUND
        case Inquiry(operation=operation):
            return operation
        case _:
            assert_never(request)


class Trouble(StrEnum):
    """Codes of our own in `Retriable`, `Unknown` and `Declined`; any other is the vendor's."""

    # Retriable
    NOT_SENT = "not_sent"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    MISSING = "resource_missing"
    RATE_LIMITED = "rate_limited"
    # Unknown
    NO_ANSWER = "no_answer"
    SERVER_ERROR = "server_error"
    UNREADABLE = "unreadable_answer"
    DEADLINE = "deadline_exceeded"
    IN_PROGRESS = "in_progress"
    PENDING = "pending"
    UNEXPECTED_STATUS = "unexpected_status"
    AMOUNT_MISMATCH = "amount_mismatch"
    INCONCLUSIVE = "inquiry_inconclusive"
    LIST_TOO_LONG = "list_too_long"
    # Declined
    INVALID_REFERENCE = "invalid_reference"
    AMOUNT_NOT_REPRESENTABLE = "amount_not_representable"
    NOT_OFFERED = "operation_not_offered"


_DECLINES: Final = {
    Breach.OPERATION: Trouble.NOT_OFFERED,
    Breach.CURRENCY: Trouble.AMOUNT_NOT_REPRESENTABLE,
    Breach.AMOUNT: Trouble.AMOUNT_NOT_REPRESENTABLE,
}

# What counts against a provider: it could not be reached, did not answer, broke, or refuses us
# altogether. A limited rate does not (`providers.health`), nor does what concerns one object.
PROVIDER_FAULTS: Final = frozenset(
    {
        Trouble.NOT_SENT,
        Trouble.UNAUTHORIZED,
        Trouble.FORBIDDEN,
        Trouble.NO_ANSWER,
        Trouble.SERVER_ERROR,
        Trouble.UNREADABLE,
        Trouble.DEADLINE,
    }
)
