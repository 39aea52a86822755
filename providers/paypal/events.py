"""What PayPal's webhook events say about a payment or a refund of ours. Pure.

Only what bears on whether money was held, taken or given back is read; everything else says
nothing. Source: developer.paypal.com/api/rest/webhooks/event-names.
"""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from payments.notification import ProviderNotification, Reported
from providers.notifications import Notification, PaymentNotification, RefundNotification, our_id
from providers.paypal.config import NAME
from providers.paypal.objects import Kind, Reference

_OF_PAYMENTS: Final = {
    "PAYMENT.AUTHORIZATION.CREATED": Reported.HELD,
    "PAYMENT.AUTHORIZATION.VOIDED": Reported.NOT_DONE,
    "PAYMENT.CAPTURE.COMPLETED": Reported.DONE,
    "PAYMENT.CAPTURE.DECLINED": Reported.NOT_DONE,
    "PAYMENT.CAPTURE.DENIED": Reported.NOT_DONE,
}
# Its resource is the refund, whose status tells.
_OF_REFUNDS: Final = frozenset({"PAYMENT.CAPTURE.REFUNDED"})
_REFUND_STATUSES: Final = {
    "COMPLETED": Reported.DONE,
    "FAILED": Reported.NOT_DONE,
    "CANCELLED": Reported.NOT_DONE,
}
# An authorization is CREATED as an object even when it is refused.
_REFUSED: Final = frozenset({"DECLINED", "DENIED", "FAILED", "VOIDED"})
EVENT_TYPES: Final = (*_OF_PAYMENTS, *_OF_REFUNDS)


class _Object(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)


class _Related(_Object):
    order_id: str | None = Field(default=None, max_length=100)


class _Supplement(_Object):
    related_ids: _Related = _Related()


class _Resource(_Object):
    id: str | None = Field(default=None, max_length=100)
    status: str | None = None
    custom_id: str | None = None
    supplementary_data: _Supplement = _Supplement()


class _Head(_Object):
    id: str = Field(min_length=1, max_length=255, pattern=r"^[!-~]+$")
    event_type: str = Field(min_length=1, max_length=255, pattern=r"^[!-~]+$")


class _Event(_Head):
    resource: _Resource


def read_paypal_event(payload: bytes) -> Notification | None:
    """Raises ValueError for what is no event; None when it says nothing of ours."""
    is_refund = (head := _Head.model_validate_json(payload)).event_type in _OF_REFUNDS
    if not is_refund and head.event_type not in _OF_PAYMENTS:
        return None
    event = _Event.model_validate_json(payload)
    resource = event.resource
    said: Reported | None = Reported.NOT_DONE
    if is_refund:
        said = _REFUND_STATUSES.get(resource.status or "")
    elif resource.status not in _REFUSED:
        said = _OF_PAYMENTS[event.event_type]
    our = our_id(resource.custom_id)
    if said is None or our is None:
        return None
    reference = resource.id if is_refund else _reference(event.event_type, resource)
    told = ProviderNotification(NAME, event.id, event.event_type, said, reference)
    return RefundNotification(told, our) if is_refund else PaymentNotification(told, our)


def _reference(event_type: str, resource: _Resource) -> str | None:
    """The capture or authorization under its order, by which it can be looked up."""
    order_id = resource.supplementary_data.related_ids.order_id
    if not order_id or not resource.id:
        return None
    kind = Kind.CAPTURE if ".CAPTURE." in event_type else Kind.AUTHORIZATION
    return str(Reference(order_id, kind, resource.id))
