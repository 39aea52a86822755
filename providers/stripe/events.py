"""What Stripe's events say about a payment or a refund of ours. Pure.

Only what bears on whether money was held, taken or given back is read; everything else says
nothing. Source: docs.stripe.com/api/events/types.
"""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from payments.notification import ProviderNotification, Reported
from providers.notifications import Notification, PaymentNotification, RefundNotification, our_id
from providers.stripe.config import NAME

_OF_INTENTS: Final = {
    "payment_intent.succeeded": Reported.DONE,
    "payment_intent.payment_failed": Reported.NOT_DONE,
    "payment_intent.canceled": Reported.NOT_DONE,
    "payment_intent.amount_capturable_updated": Reported.HELD,
}
# A refund's events tell by its status what they are about: `refund.updated` may be any.
_OF_REFUNDS: Final = frozenset(
    {"refund.created", "refund.updated", "refund.failed", "charge.refund.updated"}
)
_REFUND_STATUSES: Final = {
    "succeeded": Reported.DONE,
    "failed": Reported.NOT_DONE,
    "canceled": Reported.NOT_DONE,
}
EVENT_TYPES: Final = (*_OF_INTENTS, "refund.created", "refund.updated", "refund.failed")


class _Object(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)


class _Subject(_Object):
    id: str = Field(min_length=1, max_length=255)
    status: str | None = None
    metadata: dict[str, str] = Field(default_factory=dict)


class _Data(_Object):
    object: _Subject


class _Head(_Object):
    id: str = Field(min_length=1, max_length=255, pattern=r"^[!-~]+$")
    type: str = Field(min_length=1, max_length=255, pattern=r"^[!-~]+$")


class _Event(_Head):
    data: _Data


def read_stripe_event(payload: bytes) -> Notification | None:
    """Raises ValueError for what is no event; None when it says nothing of ours."""
    is_refund = (head := _Head.model_validate_json(payload)).type in _OF_REFUNDS
    if not is_refund and head.type not in _OF_INTENTS:
        return None
    event = _Event.model_validate_json(payload)
    subject = event.data.object
    said = _REFUND_STATUSES.get(subject.status or "") if is_refund else _OF_INTENTS[event.type]
    our = our_id(subject.metadata.get("refund_id" if is_refund else "payment_id"))
    if said is None or our is None:
        return None
    told = ProviderNotification(NAME, event.id, event.type, said, subject.id)
    return RefundNotification(told, our) if is_refund else PaymentNotification(told, our)
