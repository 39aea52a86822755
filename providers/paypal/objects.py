"""PayPal's objects as its API shows them, and how they are named and written.

Only what is read is declared; everything that PayPal adds is left alone. What is declared has
the documented type, or the whole answer is unreadable.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from payments.money import AmountError, CurrencyError, Money, parse_amount
from payments.outcome import Unknown
from payments.record import Struct
from providers.paypal.rules import WHOLE_UNITS_ONLY
from providers.transport import Answer, unreadable


class Kind(StrEnum):
    """What a reference names beside its order."""

    AUTHORIZATION = "authorization"
    CAPTURE = "capture"


# As `Reference` writes it.
REFERENCE: Final = r"[^/]+/(authorization|capture)/[^/]+"
_CAPTURE_PATH: Final = re.compile(r"/v2/payments/captures/([A-Za-z0-9]{1,100})$")
# Reasons that only a capture which was made can have, whatever its status is by then.
# Source: .../docs/api/payments/v2/#definition-capture_status_details.
_AFTER_CAPTURE: Final = frozenset({"BUYER_COMPLAINT", "CHARGEBACK", "REFUNDED"})


class Reference(Struct, frozen=True):
    """An authorization or a capture, and the order under which it can be looked up."""

    order: str
    kind: Kind
    id: str

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read what `str` wrote; None for anything else."""
        match text.split("/"):
            case [order, ("authorization" | "capture") as kind, identifier] if order and identifier:
                return cls(order, Kind(kind), identifier)
            case _:
                return None

    def __str__(self) -> str:
        return f"{self.order}/{self.kind}/{self.id}"


# What a path's segment and a column of ours hold. Source: .../docs/api/orders/v2, "id".
Name = Annotated[str, Field(pattern=r"^[!-.0-~]{1,100}$")]


class Object(BaseModel):
    """Anything that PayPal shows."""

    model_config = ConfigDict(frozen=True, strict=True)


ObjectT = TypeVar("ObjectT", bound=Object)


class Amount(Object):
    """An amount as PayPal writes it: a decimal string."""

    currency_code: str
    value: str

    @property
    def money(self) -> Money | None:
        """The amount as ours; None where it is none that we could have asked for."""
        try:
            return parse_amount(self.value, self.currency_code)
        except (AmountError, CurrencyError):
            return None


class ProcessorResponse(Object):
    """The card network's own code."""

    response_code: str | None = None


class StatusDetails(Object):
    """Why a status is not the final one, or not the good one."""

    reason: str | None = None


class Link(Object):
    """Another object, by what it is to this one."""

    rel: str
    href: str


class Related(Object):
    """What else was made for the same order."""

    order_id: Name | None = None


class Supplement(Object):
    """What PayPal adds to what it shows alone."""

    related_ids: Related = Related()


class Movement(Object):
    """A capture, an authorization or a refund: the three have the same shape."""

    id: str
    status: str
    amount: Amount | None = None
    custom_id: str | None = None
    create_time: str | None = None
    final_capture: bool | None = None
    note_to_payer: str | None = None
    links: list[Link] = Field(default_factory=list)
    supplementary_data: Supplement = Supplement()
    status_details: StatusDetails | None = None
    processor_response: ProcessorResponse | None = None

    @property
    def money(self) -> Money | None:
        """Its amount, where that can be read."""
        return self.amount.money if self.amount else None

    @property
    def reason(self) -> str | None:
        """Why its status is what it is, as far as PayPal says."""
        return self.status_details.reason if self.status_details else None

    @property
    def made_at(self) -> datetime | None:
        """When it was made, where that is told."""
        return instant(self.create_time)

    @property
    def is_taken(self) -> bool:
        """Of a capture: whether money moved, whatever was refunded or reversed since."""
        moved = self.status in {"COMPLETED", "PARTIALLY_REFUNDED", "REFUNDED"}
        return moved or self.reason in _AFTER_CAPTURE

    @property
    def capture_id(self) -> str | None:
        """Of a refund: the capture that was refunded."""
        return capture_linked(self.links)


class Payments(Object):
    """All that has happened to an order's purchase unit."""

    authorizations: list[Movement] = Field(default_factory=list)
    captures: list[Movement] = Field(default_factory=list)
    refunds: list[Movement] = Field(default_factory=list)


class PurchaseUnit(Object):
    """What is bought of one payee: here always the whole order."""

    custom_id: str | None = None
    payments: Payments = Field(default_factory=Payments)


class Order(Object):
    """An order of one purchase unit."""

    id: str
    status: str
    purchase_units: list[PurchaseUnit] = Field(default_factory=list)

    @property
    def payments(self) -> Payments:
        return self.purchase_units[0].payments if self.purchase_units else Payments()

    @property
    def custom_id(self) -> str | None:
        """What its maker calls it; its captures and authorizations have it from there."""
        return self.purchase_units[0].custom_id if self.purchase_units else None

    @property
    def taken(self) -> list[Movement]:
        """The captures that moved money."""
        return [capture for capture in self.payments.captures if capture.is_taken]

    @property
    def is_held(self) -> bool:
        """Whether an authorization may still be captured; a final capture releases the rest."""
        if any(capture.final_capture for capture in self.taken):
            return False
        return any(
            authorization.status in {"CREATED", "PENDING", "PARTIALLY_CAPTURED"}
            for authorization in self.payments.authorizations
        )


def instant(text: str | None) -> datetime | None:
    """A time as PayPal writes it; None for what is none."""
    try:
        at = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return at if at.tzinfo else None


def capture_linked(links: Sequence[Link]) -> str | None:
    """The capture that a refund's links lead up to."""
    for link in links:
        found = _CAPTURE_PATH.search(link.href) if link.rel == "up" else None
        if found:
            return found[1]
    return None


def to_paypal(money: Money) -> Amount:
    """The amount as PayPal wants it written: a multiple of its currency's step."""
    value = money.decimal
    if money.currency in WHOLE_UNITS_ONLY:
        value = value.removesuffix(".00")
    return Amount(currency_code=money.currency, value=value)


def parse(model: type[ObjectT], answer: Answer) -> ObjectT | Unknown:
    """The object of a 2xx answer; its body being anything else is `Unknown`."""
    try:
        return model.model_validate_json(answer.body)
    except ValidationError:
        return unreadable(answer)
