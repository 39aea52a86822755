"""Stripe's objects, as far as we read them; amounts are in Stripe's own minor units.

A body that is none of them is `Unknown`: nothing here guesses. Times are Unix seconds. Source:
docs.stripe.com/api, the page of each object.
"""

from __future__ import annotations

from typing import Final, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from payments.outcome import Unknown
from providers.transport import Answer, unreadable

# Of a payment: a charge's own id (`ch_...`) is none by which it could be captured or refunded.
REFERENCE: Final = r"pi_[!-~]+"
# Of several objects of one payment, or of one refund, which says most of it: what moved money, what
# holds it, what may yet; then what certainly did not.
_PRECEDENCE: Final = (
    "succeeded",
    "requires_capture",
    "processing",
    "pending",
    "requires_action",
    "requires_confirmation",
)
_WITH_MONEY: Final = frozenset({"succeeded", "requires_capture", "processing", "pending"})


class StripeObject(BaseModel):
    """What any of them is; strict: "100" is no amount and 1 no boolean, whoever sends it."""

    model_config = ConfigDict(frozen=True, strict=True)


ObjectT = TypeVar("ObjectT", bound=StripeObject)


class Fault(StripeObject):
    """`error` of an error body, and a PaymentIntent's `last_payment_error`."""

    type: str
    code: str | None = None
    decline_code: str | None = None
    message: str | None = None


class ErrorBody(StripeObject):
    """The body of an answer that is not 2xx."""

    error: Fault


class Intent(StripeObject):
    """A PaymentIntent."""

    id: str
    status: str
    amount: int
    currency: str
    amount_capturable: int = 0
    amount_received: int = 0
    created: int = 0
    metadata: dict[str, str] = Field(default_factory=dict)
    last_payment_error: Fault | None = None
    cancellation_reason: str | None = None
    latest_charge: str | None = None

    @property
    def has_money(self) -> bool:
        """Whether it took money, holds it, or is about to."""
        return self.status in _WITH_MONEY or self.amount_received > 0

    @property
    def is_unconfirmed(self) -> bool:
        """Whether it was made, and nothing was asked of it since."""
        is_bare = self.status == "requires_payment_method" and self.last_payment_error is None
        return is_bare or self.status == "requires_confirmation"

    @property
    def precedence(self) -> tuple[bool, int, int]:
        """Sorts before what says less of a payment; what came first before what came later."""
        status = "requires_confirmation" if self.is_unconfirmed else self.status
        return not self.has_money, _rank(status), self.created


class Refund(StripeObject):
    """A refund; `status` is null for some payment methods."""

    id: str
    status: str | None
    amount: int
    currency: str
    created: int = 0
    metadata: dict[str, str] | None = None
    reason: str | None = None
    failure_reason: str | None = None

    @property
    def has_money(self) -> bool:
        """Whether it gave money back, or may yet."""
        return self.status in _WITH_MONEY or self.status == "requires_action"

    @property
    def precedence(self) -> tuple[bool, int, int]:
        """Sorts before what says less of a refund; what came first before what came later."""
        return not self.has_money, _rank(self.status), self.created


class Transaction(StripeObject):
    """A balance transaction: what moved on our balance at Stripe, in its currency, and when."""

    amount: int
    created: int = 0


class Charge(StripeObject):
    """A charge, whose `balance_transaction` is there from its capture on, whole where asked for."""

    id: str
    balance_transaction: Transaction | str | None = None


class Dispute(StripeObject):
    """A dispute; its transactions show what was withdrawn for it and what was reinstated."""

    id: str
    status: str
    amount: int
    currency: str
    reason: str | None = None
    balance_transactions: list[Transaction]


class Page(StripeObject, Generic[ObjectT]):
    """One page of a list or a search, newest first."""

    data: list[ObjectT]
    has_more: bool


def parse(model: type[ObjectT], answer: Answer) -> ObjectT | Unknown:
    """The object of a 2xx answer; its body being anything else is `Unknown`."""
    try:
        return model.model_validate_json(answer.body)
    except ValidationError:
        return unreadable(answer)


def _rank(status: str | None) -> int:
    return _PRECEDENCE.index(status) if status in _PRECEDENCE else len(_PRECEDENCE)
