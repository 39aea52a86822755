"""What Stripe remembers: intents and their charges, refunds, disputes, customers, failures.

Frozen, so that a record kept under an idempotency key is the object as it was then. Amounts
are integers in Stripe's own smallest units, which differ from ISO 4217 for a few currencies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from simulator.credentials import key_roll
from simulator.entries import Decoders, JsonObject


@dataclass(frozen=True, slots=True)
class Decline:
    """Why an issuer said no: Stripe's `code`, `decline_code` and message."""

    code: str
    decline_code: str
    message: str


@dataclass(frozen=True, slots=True)
class Charge:
    """One attempt to move money for an intent; `pending` of it is on its way.

    `amount_disputed` is what was withdrawn for disputes, and not given back.
    """

    id: str
    created: float
    amount: int
    amount_captured: int = 0
    amount_refunded: int = 0
    captured: bool = False
    cancelled: bool = False
    decline: Decline | None = None
    pending: int = 0
    disputed: bool = False
    amount_disputed: int = 0

    @property
    def amount_refundable(self) -> int:
        """What a refund may still give back."""
        return self.amount_captured - self.amount_refunded - self.amount_disputed


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """A PaymentIntent; `extra` holds parameters that are echoed and mean nothing here.

    It `pends` when what it takes next is to stay pending, and `card` is the test card behind
    its payment method.
    """

    id: str
    created: float
    amount: int
    currency: str
    status: str
    capture_method: str
    confirmation_method: str = "automatic"
    payment_method: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, object] = field(default_factory=dict)
    charges: tuple[Charge, ...] = ()
    decline: Decline | None = None
    redirects: bool = False
    canceled_at: int | None = None
    cancellation_reason: str | None = None
    pends: bool = False
    card: str | None = None
    kind: str = "intent"

    @property
    def test_card(self) -> str:
        """The name of the card that is charged; empty without any."""
        return self.card or self.payment_method or ""

    @property
    def customer(self) -> str | None:
        """Whose payment it is."""
        customer = self.extra.get("customer")
        return customer if isinstance(customer, str) else None

    @property
    def charge(self) -> Charge | None:
        """The latest charge, failed or not."""
        return self.charges[-1] if self.charges else None

    @property
    def amount_capturable(self) -> int:
        """What a capture may still take, in Stripe's units."""
        return self.charges[-1].amount if self.status == "requires_capture" else 0

    @property
    def amount_received(self) -> int:
        """What was captured, in Stripe's units."""
        return sum(charge.amount_captured for charge in self.charges)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """Money given back from a charge, in Stripe's units."""

    id: str
    created: float
    amount: int
    currency: str
    charge: str
    payment_intent: str
    status: str
    reason: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    failure_reason: str | None = None
    kind: str = "refund"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispute:
    """A charge that its payer's bank disputes; what it is about was withdrawn at once."""

    id: str
    created: float
    amount: int
    currency: str
    charge: str
    payment_intent: str
    reason: str
    status: str = "needs_response"
    closed_at: float | None = None
    kind: str = "dispute"


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """Somebody whose payment methods are kept."""

    id: str
    created: float
    email: str | None = None
    name: str | None = None
    description: str | None = None
    phone: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    kind: str = "customer"


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentMethod:
    """A test card, by its name, under an id of its own; `is_spent`: it may not be used again."""

    id: str
    created: float
    card: str
    customer: str | None = None
    is_spent: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict)
    kind: str = "payment_method"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A webhook endpoint; its secret signs what is posted there."""

    id: str
    created: float
    url: str
    secret: str
    enabled_events: tuple[str, ...] = ("*",)
    deleted: bool = False
    kind: str = "endpoint"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An error answer; card and state errors carry the intent they are about."""

    status: int
    type: str
    message: str
    code: str | None = None
    param: str | None = None
    decline_code: str | None = None
    charge: str | None = None
    with_intent: bool = False
    kind: str = "failure"


def _untag(fields: JsonObject) -> dict[str, Any]:  # Any: a constructor's keywords from JSON
    del fields["kind"]
    return fields


def _decline(fields: Any) -> Decline | None:  # noqa: ANN401 -- JSON
    return None if fields is None else Decline(**fields)


def _intent(fields: JsonObject) -> Intent:
    values = _untag(fields)
    values["decline"] = _decline(values["decline"])
    values["charges"] = tuple(
        Charge(**{**charge, "decline": _decline(charge["decline"])}) for charge in values["charges"]
    )
    return Intent(**values)


def _endpoint(fields: JsonObject) -> Endpoint:
    values = _untag(fields)
    return Endpoint(**{**values, "enabled_events": tuple(values["enabled_events"])})


DECODERS: Final[Decoders] = {
    "key_roll": key_roll,
    "intent": _intent,
    "refund": lambda fields: Refund(**_untag(fields)),
    "customer": lambda fields: Customer(**_untag(fields)),
    "payment_method": lambda fields: PaymentMethod(**_untag(fields)),
    "dispute": lambda fields: Dispute(**_untag(fields)),
    "endpoint": _endpoint,
    "failure": lambda fields: Failure(**_untag(fields)),
}
