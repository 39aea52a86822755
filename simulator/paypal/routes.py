"""PayPal's endpoints: what each is called in the journal and in faults, and who decides it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from simulator.paypal import disputes, orders, payments, reads, refunds, webhooks
from simulator.vendor import Decision

Work: TypeAlias = Callable[..., Decision]


@dataclass(frozen=True, slots=True)
class Route:
    """An endpoint: what the journal and faults call it, and who decides it."""

    method: str
    pattern: re.Pattern[str]
    operation: str
    work: Work


def _route(method: str, path: str, operation: str, work: Work) -> Route:
    return Route(method, re.compile(path), operation, work)


_ID: Final = r"/([A-Za-z0-9]{1,40})"
_ORDERS: Final = r"/v2/checkout/orders"
_AUTHORIZATIONS: Final = r"/v2/payments/authorizations"
_CAPTURES: Final = r"/v2/payments/captures"
_DISPUTES: Final = r"/v1/customer/disputes"
_LISTENERS: Final = r"/v1/notifications/webhooks"
ROUTES: Final = (
    _route("POST", _ORDERS, "create", orders.create),
    _route("GET", _ORDERS + _ID, "retrieve", reads.order),
    _route("POST", _ORDERS + _ID + "/capture", "charge", orders.capture),
    _route("POST", _ORDERS + _ID + "/authorize", "authorize", orders.authorize),
    _route("GET", _AUTHORIZATIONS + _ID, "retrieve_authorization", reads.authorization),
    _route("POST", _AUTHORIZATIONS + _ID + "/capture", "capture", payments.capture),
    _route("POST", _AUTHORIZATIONS + _ID + "/void", "void", payments.void),
    _route("GET", _CAPTURES + _ID, "retrieve_capture", reads.capture),
    _route("POST", _CAPTURES + _ID + "/refund", "refund", refunds.refund),
    _route("GET", r"/v2/payments/refunds" + _ID, "retrieve_refund", reads.refund),
    _route("GET", _DISPUTES, "list_disputes", disputes.listed),
    _route("GET", _DISPUTES + r"/([A-Za-z0-9-]{1,255})", "retrieve_dispute", disputes.retrieve),
    _route("POST", _LISTENERS, "webhook", webhooks.create),
    _route("GET", _LISTENERS, "webhook", webhooks.listed),
    _route("DELETE", _LISTENERS + _ID, "webhook", webhooks.delete),
    _route("POST", r"/v1/notifications/verify-webhook-signature", "verify", webhooks.verify),
)
APPROVE: Final = _route("GET", r"/checkoutnow", "approve", orders.approve)
