"""Creating and finding PayPal's orders, none of which moves money.

The payment source is named only when an order is captured or authorized, so creating one
has no effect a payer could feel. That makes an unanswered charge findable although orders
cannot be searched: creating the same order again, under the same PayPal-Request-Id, gives
back the first one, whose state then tells; and if there was none, an empty order harms
nobody. Hence its body is made of nothing but what an inquiry knows too.
Source: developer.paypal.com/docs/api/orders/v2, .../api/rest/reference/idempotency.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import quote

from payments.money import Money
from payments.outcome import Declined, Operation, Retriable, Unknown, Unresolvable
from providers.gateway import AnyRequest, Inquiry, StandingQuery, Trouble
from providers.paypal.answers import refused
from providers.paypal.client import PayPalClient
from providers.paypal.objects import ObjectT, Order, Reference, parse, to_paypal
from providers.transport import Answer, Exchange, of_broken

ORDERS: Final = "/v2/checkout/orders"
CAPTURES: Final = "/v2/payments/captures"
# "The server stores keys for 6 hours", docs/api/orders/v2 (72 for who asks an account manager). The
# 45 days of docs/api/payments/v2 bound nothing here: captures, voids and refunds are found on
# the order, at whatever age.
KEY_WINDOW_S: Final = 6 * 3600.0
# An order made again at the end of the window must reach PayPal before it forgets the key.
_WINDOW: Final = timedelta(seconds=KEY_WINDOW_S) - timedelta(minutes=10)
_REQUEST_ID_LENGTH_MAX: Final = 108
_OK: Final = 200
_CREATED: Final = 201


async def create_order(
    client: PayPalClient, request: AnyRequest, operation: Operation, amount: Money
) -> Order | Declined | Retriable | Unknown:
    """The one order of this key, new or as it was found; its state is not necessarily fresh."""
    unit = {
        "custom_id": str(request.payment_id),
        # A second safeguard where the merchant's account refuses a repeated invoice: a second
        # order of this payment cannot be captured, even when the key is long forgotten.
        "invoice_id": str(request.payment_id),
        "amount": to_paypal(amount).model_dump(),
    }
    intent = "AUTHORIZE" if operation is Operation.AUTHORIZE else "CAPTURE"
    exchange = await client.post(
        ORDERS,
        {"intent": intent, "purchase_units": [unit]},
        request_id=request_id(request, "create"),
        traceparent=request.traceparent,
    )
    return answered(exchange, Order)


async def read_order(
    client: PayPalClient, request: AnyRequest | StandingQuery, order_id: str
) -> Order | Retriable | Unknown:
    """An order as it is now."""
    return await read(client, request, f"{ORDERS}/{segment(order_id)}", Order)


async def read(
    client: PayPalClient, request: AnyRequest | StandingQuery, path: str, model: type[ObjectT]
) -> ObjectT | Retriable | Unknown:
    """An object as it is now. That we may not look says nothing about it: `Unknown`."""
    found = answered(await client.get(path, traceparent=request.traceparent), model)
    if isinstance(found, Declined):
        return Unknown(Trouble.INCONCLUSIVE, f"{found.code}: {found.message}")
    return found


async def find_order(
    client: PayPalClient, inquiry: Inquiry, now: datetime
) -> Order | Retriable | Unknown | Unresolvable:
    """The order asked after; without a reference only while PayPal remembers the key."""
    if inquiry.provider_reference is not None:
        reference = Reference.parse(inquiry.provider_reference)
        if reference is None:
            return Unknown(Trouble.INCONCLUSIVE, "not a reference of PayPal's")
        return await read_order(client, inquiry, reference.order)
    since = inquiry.asked_since
    if since is None or now - since > _WINDOW:
        return Unresolvable(Trouble.INCONCLUSIVE, "PayPal may have forgotten the order's key")
    order = await create_order(client, inquiry, inquiry.operation, inquiry.amount)
    match order:
        case Order():
            # Given back for a key, an order can be as old as the key.
            return await read_order(client, inquiry, order.id)
        case Declined(code, message):
            return Unknown(Trouble.INCONCLUSIVE, f"{code}: {message}")
        case _:
            return order


def answered(
    exchange: Exchange | Retriable, model: type[ObjectT]
) -> ObjectT | Declined | Retriable | Unknown:
    """The object an exchange brought, or the outcome it means."""
    match exchange:
        case Retriable():
            return exchange
        case Answer(status) if status in {_OK, _CREATED}:
            return parse(model, exchange)
        case Answer():
            return refused(exchange)
        case _:
            return of_broken(exchange)


def request_id(request: AnyRequest, step: str) -> str:
    """A PayPal-Request-Id for one step of a call: the same for the same key, for ever."""
    text = f"{request.idempotency_key}-{step}"
    if len(text) <= _REQUEST_ID_LENGTH_MAX:
        return text
    return f"{hashlib.sha256(request.idempotency_key.encode()).hexdigest()}-{step}"


def segment(reference: str) -> str:
    """A reference as one segment of a path, whatever it contains."""
    return quote(reference, safe="")
