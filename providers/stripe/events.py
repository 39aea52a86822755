"""What Stripe's events say about a payment or a refund of ours. Pure.

Only what bears on whether money was held, taken, given back or withdrawn is read; everything else
says nothing. What carries no id of ours (a refund made in the dashboard, a dispute) names its
PaymentIntent, by which its payment is looked at. `charge.refunded` and `charge.captured` are not
read: each comes with an event of a refund or of a PaymentIntent that says more. Source:
docs.stripe.com/api/events/types.
"""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from payments.notification import ProviderNotification, Reported
from providers.notifications import (
    Notification,
    PaymentNotification,
    ReferenceNotification,
    RefundNotification,
    our_id,
)
from providers.stripe.config import NAME

_OF_INTENTS: Final = {
    "payment_intent.succeeded": Reported.DONE,
    "payment_intent.payment_failed": Reported.NOT_DONE,
    "payment_intent.canceled": Reported.NOT_DONE,
    "payment_intent.amount_capturable_updated": Reported.HELD,
}
_OF_REFUNDS: Final = ("refund.created", "refund.updated", "refund.failed")
# What `refund.updated` and `refund.failed` say too; sent to whoever asked for it long ago.
_OF_REFUNDS_ONCE: Final = ("charge.refund.updated",)
# A refund's events tell by its status what they are about: `refund.updated` may be any.
_REFUND_STATUSES: Final = {
    "succeeded": Reported.DONE,
    "failed": Reported.NOT_DONE,
    "canceled": Reported.NOT_DONE,
}
_OF_DISPUTES: Final = (
    "charge.dispute.created",
    "charge.dispute.updated",
    "charge.dispute.closed",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.funds_reinstated",
)
EVENT_TYPES: Final = (*_OF_INTENTS, *_OF_REFUNDS, *_OF_DISPUTES)
_VISIBLE: Final = r"^[!-~]+$"


class _Object(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)


class _Subject(_Object):
    id: str = Field(min_length=1, max_length=255, pattern=_VISIBLE)
    status: str | None = None
    metadata: dict[str, str] | None = None
    payment_intent: str | None = Field(default=None, max_length=255, pattern=_VISIBLE)

    def our(self, name: str) -> str | None:
        return (self.metadata or {}).get(name)


class _Data(_Object):
    object: _Subject


class _Head(_Object):
    id: str = Field(min_length=1, max_length=255, pattern=_VISIBLE)
    type: str = Field(min_length=1, max_length=255, pattern=_VISIBLE)


class _Event(_Head):
    data: _Data


def read_stripe_event(payload: bytes) -> Notification | None:
    """Raises ValueError for what is no event; None when it says nothing of ours."""
    kind = _Head.model_validate_json(payload).type
    if kind in _OF_INTENTS:
        return _of_intent(_Event.model_validate_json(payload))
    if kind in _OF_REFUNDS or kind in _OF_REFUNDS_ONCE:
        return _of_refund(_Event.model_validate_json(payload))
    if kind in _OF_DISPUTES:
        return _changed(_Event.model_validate_json(payload))
    return None


def _of_intent(event: _Event) -> PaymentNotification | None:
    subject = event.data.object
    payment_id = our_id(subject.our("payment_id"))
    if payment_id is None:
        return None
    said = _OF_INTENTS[event.type]
    return PaymentNotification(_told(event, said, subject.id), payment_id)


def _of_refund(event: _Event) -> RefundNotification | ReferenceNotification | None:
    subject = event.data.object
    refund_id = our_id(subject.our("refund_id"))
    if refund_id is None:
        return _changed(event)
    said = _REFUND_STATUSES.get(subject.status or "")
    return RefundNotification(_told(event, said, subject.id), refund_id) if said else None


def _changed(event: _Event) -> ReferenceNotification | None:
    """None where it names no PaymentIntent, as all of ours do."""
    intent = event.data.object.payment_intent
    if intent is None:
        return None
    return ReferenceNotification(_told(event, Reported.CHANGED, intent), intent)


def _told(event: _Event, said: Reported, reference: str) -> ProviderNotification:
    return ProviderNotification(NAME, event.id, event.type, said, reference)
