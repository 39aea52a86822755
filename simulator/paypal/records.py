"""What PayPal remembers: orders, authorizations, captures, refunds, disputes, webhooks, refusals.

Frozen. Amounts are ISO 4217 minor units; PayPal's decimal strings are made of them on the
way out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from simulator.credentials import key_roll
from simulator.entries import Decoders, JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order with its one purchase unit; `source` is how it was paid, as shown.

    It `pends` when what is taken of it next is to stay pending.
    """

    id: str
    created: float
    updated: float
    intent: str
    status: str
    amount: int
    currency: str
    reference_id: str = "default"
    custom_id: str | None = None
    invoice_id: str | None = None
    description: str | None = None
    source: Mapping[str, object] = field(default_factory=dict)
    captures: tuple[str, ...] = ()
    authorizations: tuple[str, ...] = ()
    pends: bool = False
    kind: str = "order"


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorization:
    """Money held for an order; `captured` of it was taken so far."""

    id: str
    order_id: str
    created: float
    updated: float
    status: str
    amount: int
    currency: str
    captured: int = 0
    custom_id: str | None = None
    invoice_id: str | None = None
    response_code: str | None = None
    pends: bool = False
    kind: str = "authorization"

    @property
    def left(self) -> int:
        """What is still held."""
        return self.amount - self.captured


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """Money taken, directly or from an authorization; `refunded` of it was given back.

    `reversed` PayPal took back from the merchant, and `lost` went with disputes; it is `disputed`
    while one is open, and after one was lost.
    """

    id: str
    order_id: str
    created: float
    updated: float
    status: str
    amount: int
    currency: str
    authorization_id: str | None = None
    refunded: int = 0
    final: bool = True
    custom_id: str | None = None
    invoice_id: str | None = None
    response_code: str | None = None
    reversed: int = 0
    lost: int = 0
    disputed: bool = False
    kind: str = "capture"

    @property
    def left(self) -> int:
        """What a refund may still give back."""
        return self.amount - self.refunded - self.reversed - self.lost


@dataclass(frozen=True, slots=True, kw_only=True)
class PayPalRefund:
    """Money given back from a capture, or with `is_reversal` taken back by PayPal.

    Its custom id is the capture's, unless the client gave it one.
    """

    id: str
    capture_id: str
    created: float
    status: str
    amount: int
    currency: str
    custom_id: str | None = None
    invoice_id: str | None = None
    note: str | None = None
    total_refunded: int = 0
    is_custom: bool = True
    is_reversal: bool = False
    updated: float | None = None
    kind: str = "paypal_refund"

    @property
    def our_id(self) -> str | None:
        """The client's own id of the refund."""
        return self.custom_id if self.is_custom else None


@dataclass(frozen=True, slots=True, kw_only=True)
class PayPalDispute:
    """A capture that its payer disputes; no money moves before its `outcome`."""

    id: str
    capture_id: str
    created: float
    updated: float
    amount: int
    currency: str
    reason: str
    outcome: str | None = None
    amount_refunded: int = 0
    is_settled_by_seller: bool = False
    kind: str = "paypal_dispute"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """A webhook: where notifications of which types are posted."""

    id: str
    url: str
    event_types: tuple[str, ...] = ("*",)
    deleted: bool = False
    kind: str = "listener"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """An error answer; `issue` is the machine-readable reason PayPal clients go by."""

    status: int
    name: str
    message: str
    issue: str | None = None
    description: str | None = None
    field: str | None = None
    kind: str = "problem"


def _fields(values: JsonObject) -> dict[str, Any]:  # Any: a constructor's keywords from JSON
    fields: dict[str, Any] = values
    del fields["kind"]
    for name in _TUPLES & fields.keys():
        fields[name] = tuple(fields[name])
    return fields


_TUPLES: Final = frozenset(("captures", "authorizations", "event_types"))
DECODERS: Final[Decoders] = {
    "key_roll": key_roll,
    "order": lambda values: Order(**_fields(values)),
    "authorization": lambda values: Authorization(**_fields(values)),
    "capture": lambda values: Capture(**_fields(values)),
    "paypal_refund": lambda values: PayPalRefund(**_fields(values)),
    "paypal_dispute": lambda values: PayPalDispute(**_fields(values)),
    "listener": lambda values: Listener(**_fields(values)),
    "problem": lambda values: Problem(**_fields(values)),
}
