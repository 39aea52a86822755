"""What PayPal's webhook events say about a payment or a refund of ours. Pure.

Only what bears on whether money was held, taken, given back or disputed is read; everything else
says nothing. Source: developer.paypal.com/api/rest/webhooks/event-names, and the samples of
.../api/rest/webhooks/simulator for what each event's resource is.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

from pydantic import Field

from payments.notification import ProviderNotification, Reported
from providers.notifications import (
    Notification,
    PaymentNotification,
    ReferenceNotification,
    RefundNotification,
    our_id,
)
from providers.paypal.config import NAME
from providers.paypal.disputes import Transaction
from providers.paypal.objects import Kind, Link, Name, Object, Reference, Supplement, capture_linked

_OF_PAYMENTS: Final = {
    "PAYMENT.AUTHORIZATION.CREATED": Reported.HELD,
    "PAYMENT.AUTHORIZATION.VOIDED": Reported.NOT_DONE,
    "PAYMENT.CAPTURE.COMPLETED": Reported.DONE,
    "PAYMENT.CAPTURE.DECLINED": Reported.NOT_DONE,
    "PAYMENT.CAPTURE.DENIED": Reported.NOT_DONE,
    "PAYMENT.CAPTURE.PENDING": Reported.CHANGED,
}
# Their resource is a refund, whose status tells.
_OF_REFUNDS: Final = frozenset(
    {"PAYMENT.CAPTURE.REFUNDED", "PAYMENT.REFUND.FAILED", "PAYMENT.REFUND.PENDING"}
)
# So is its, but it is PayPal's own.
_REVERSED: Final = "PAYMENT.CAPTURE.REVERSED"
_OF_DISPUTES: Final = frozenset(
    {"CUSTOMER.DISPUTE.CREATED", "CUSTOMER.DISPUTE.RESOLVED", "CUSTOMER.DISPUTE.UPDATED"}
)
_REFUND_STATUSES: Final = {
    "COMPLETED": Reported.DONE,
    "FAILED": Reported.NOT_DONE,
    "CANCELLED": Reported.NOT_DONE,
}
# An authorization is CREATED as an object even when it is refused.
_REFUSED: Final = frozenset({"DECLINED", "DENIED", "FAILED", "VOIDED"})
EVENT_TYPES: Final = (*_OF_PAYMENTS, *sorted(_OF_REFUNDS), _REVERSED, *sorted(_OF_DISPUTES))


class _Resource(Object):
    id: Name | None = None
    status: str | None = None
    custom_id: str | None = None
    invoice_id: str | None = None
    links: list[Link] = Field(default_factory=list)
    supplementary_data: Supplement = Supplement()


class _Disputed(Object):
    dispute_id: Name
    disputed_transactions: list[Transaction] = Field(default_factory=list)


class _Head(Object):
    id: str = Field(min_length=1, max_length=255, pattern=r"^[!-~]+$")
    event_type: str = Field(min_length=1, max_length=255, pattern=r"^[!-~]+$")


class _Event(_Head):
    resource: _Resource


class _DisputeEvent(_Head):
    resource: _Disputed


def read_paypal_event(payload: bytes) -> Notification | None:
    """Raises ValueError for what is no event; None when it says nothing of ours."""
    kind = _Head.model_validate_json(payload).event_type
    if kind in _OF_PAYMENTS:
        return _of_payment(_Event.model_validate_json(payload))
    if kind in _OF_REFUNDS or kind == _REVERSED:
        return _of_refund(_Event.model_validate_json(payload))
    if kind in _OF_DISPUTES:
        return _of_dispute(_DisputeEvent.model_validate_json(payload))
    return None


def _of_payment(event: _Event) -> Notification | None:
    resource = event.resource
    if (payment_id := our_id(resource.custom_id)) is None:
        return None  # every capture and authorization of an order has the order's
    said = _OF_PAYMENTS[event.event_type]
    if resource.status in _REFUSED:
        said = Reported.NOT_DONE
    return PaymentNotification(_told(event, said, _reference(event)), payment_id)


def _of_refund(event: _Event) -> Notification | None:
    """Of ours, what its status says; of one that somebody else made, that the payment changed.

    Ours has its own id and the invoice of its payment, which is the payment's id. Any other
    has either both from its capture, or neither.
    """
    resource = event.resource
    custom_id, payment_id = our_id(resource.custom_id), our_id(resource.invoice_id)
    if event.event_type != _REVERSED and custom_id not in {None, payment_id}:
        assert custom_id is not None, "None is in the set"
        said = _REFUND_STATUSES.get(resource.status or "")
        return RefundNotification(_told(event, said, resource.id), custom_id) if said else None
    capture_id = capture_linked(resource.links)
    return _changed(event, payment_id or custom_id, capture_id and f"capture/{capture_id}")


def _of_dispute(event: _DisputeEvent) -> Notification | None:
    dispute = event.resource
    for each in dispute.disputed_transactions:
        if payment_id := our_id(each.custom) or our_id(each.invoice_number):
            return _changed(event, payment_id, f"dispute/{dispute.dispute_id}")
    return _changed(event, None, f"dispute/{dispute.dispute_id}")


def _changed(event: _Head, payment_id: UUID | None, reference: str | None) -> Notification | None:
    """To be looked at, by the payment's id where it has been told."""
    told = _told(event, Reported.CHANGED, reference)
    if payment_id is not None:
        return PaymentNotification(told, payment_id)
    return ReferenceNotification(told, reference) if reference else None


def _told(event: _Head, said: Reported, reference: str | None) -> ProviderNotification:
    return ProviderNotification(NAME, event.id, event.event_type, said, reference)


def _reference(event: _Event) -> str | None:
    """The capture or authorization under its order, by which it can be looked up."""
    order_id = event.resource.supplementary_data.related_ids.order_id
    if not order_id or not event.resource.id:
        return None
    kind = Kind.CAPTURE if ".CAPTURE." in event.event_type else Kind.AUTHORIZATION
    return str(Reference(order_id, kind, event.resource.id))
