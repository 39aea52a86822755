"""Orders: create, capture, authorize, as decisions on the present state. Nothing is changed here.

An order with a card, a vault id or a token is paid in the call that names it; one without
waits until the payer approves it (the admin API stands in for the payer).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from simulator.entries import JsonObject
from simulator.faults import FaultKind, Faults
from simulator.identifiers import Identifiers
from simulator.paypal import declines, problems
from simulator.paypal.bodies import Reader
from simulator.paypal.records import Authorization, Capture, Order
from simulator.paypal.state import PayPalState
from simulator.vendor import Decision

_INTENTS: Final = ("CAPTURE", "AUTHORIZE")
_PAYABLE: Final = ("CREATED", "APPROVED", "PAYER_ACTION_REQUIRED")
_TOKENS: Final = ("vault_id", "billing_agreement_id", "single_use_token", "number", "id")
_EVENTS: Final = {
    "COMPLETED": "PAYMENT.CAPTURE.COMPLETED",
    "PENDING": "PAYMENT.CAPTURE.PENDING",
    "DECLINED": "PAYMENT.CAPTURE.DENIED",
}
_CUSTOM_ID_LENGTH_MAX: Final = 255
_INVOICE_ID_LENGTH_MAX: Final = 127


@dataclass(frozen=True, slots=True)
class PayPalContext:
    """What a decision needs beside its body: state, ids, time, header and faults."""

    state: PayPalState
    ids: Identifiers
    at: float
    faults: Faults
    key: str | None
    mock: str | None


def create(context: PayPalContext, body: Reader) -> Decision:
    """POST /v2/checkout/orders."""
    order = _new_order(context, body)
    source = body.nested("payment_source")
    paying = pays_now(source.values)
    if paying and context.key is None:
        raise problems.malformed("PAYPAL_REQUEST_ID_REQUIRED", "PayPal-Request-Id")
    if paying:
        return _paid(context, order, source.values, status=201)
    if (issue := declines.mocked(context.mock)) is not None:
        raise problems.unprocessable(issue)
    if source.values:
        order = replace(order, status="PAYER_ACTION_REQUIRED", source=_shown(source.values))
    return Decision(
        status=200 if source.values else 201,
        outcome="ok",
        writes=(order,),
        keeps_key=True,
        payment_id=order.custom_id,
        reference=order.id,
    )


def capture(context: PayPalContext, body: Reader, order_id: str) -> Decision:
    """POST /v2/checkout/orders/{id}/capture."""
    return _complete(context, body, order_id, "CAPTURE")


def authorize(context: PayPalContext, body: Reader, order_id: str) -> Decision:
    """POST /v2/checkout/orders/{id}/authorize."""
    return _complete(context, body, order_id, "AUTHORIZE")


def approve(context: PayPalContext, _body: Reader, order_id: str) -> Decision:
    """What the payer does on PayPal's pages; reached through the `payer-action` link."""
    order = found(context.state, order_id)
    if order.status in ("CREATED", "PAYER_ACTION_REQUIRED"):
        source: JsonObject = {"paypal": {"email_address": "payer@example.com"}}
        order = replace(
            order, status="APPROVED", updated=context.at, source=order.source or _shown(source)
        )
    return Decision(
        status=200,
        outcome="ok",
        writes=(order,),
        reference=order.id,
        payment_id=order.custom_id,
        events=("CHECKOUT.ORDER.APPROVED",),
    )


def found(state: PayPalState, order_id: str) -> Order:
    """The order of a path, or PayPal's 404."""
    order = state.orders.get(order_id)
    if order is None:
        raise problems.not_found("order_id")
    return order


def pays_now(source: JsonObject) -> bool:
    """Whether a payment source needs no payer: a card, a vaulted instrument or a token."""
    return any(
        isinstance(instrument, dict) and any(name in instrument for name in _TOKENS)
        for instrument in source.values()
    )


def declined(issue: str, payment_id: str | None, reference: str, *, kept: bool = True) -> Decision:
    """A refusal of business; nothing was made. A wrong state is not `kept`: it may pass."""
    return Decision(
        status=422,
        outcome=f"declined:{issue}",
        error=problems.problem("UNPROCESSABLE_ENTITY", issue),
        keeps_key=kept,
        payment_id=payment_id,
        reference=reference,
    )


def _new_order(context: PayPalContext, body: Reader) -> Order:
    intent = body.required("intent")
    if intent not in _INTENTS:
        raise problems.malformed("INVALID_PARAMETER_VALUE", "/intent")
    units = body.value("purchase_units")
    if not isinstance(units, list) or not units or not isinstance(units[0], dict):
        raise problems.malformed("MISSING_REQUIRED_PARAMETER", "/purchase_units")
    if len(units) > 1:
        raise problems.unprocessable("MSP_NOT_SUPPORTED", "/purchase_units")
    unit = Reader(units[0], "/purchase_units/@reference_id=='default'")
    money = unit.amount()
    if money is None:
        raise problems.malformed("MISSING_REQUIRED_PARAMETER", f"{unit.at}/amount")
    return Order(
        id=context.ids.capitals(),
        created=context.at,
        updated=context.at,
        intent=intent,
        status="CREATED",
        amount=money[0],
        currency=money[1],
        reference_id=unit.text("reference_id") or "default",
        custom_id=unit.text("custom_id", _CUSTOM_ID_LENGTH_MAX),
        invoice_id=unit.text("invoice_id", _INVOICE_ID_LENGTH_MAX),
        description=unit.text("description", 3000),
    )


def _complete(context: PayPalContext, body: Reader, order_id: str, intent: str) -> Decision:
    order = found(context.state, order_id)
    source = body.nested("payment_source").values
    if order.intent != intent:
        return declined("ACTION_DOES_NOT_MATCH_INTENT", order.custom_id, order.id, kept=False)
    if order.status == "COMPLETED":
        issue = "ORDER_ALREADY_CAPTURED" if intent == "CAPTURE" else "ORDER_ALREADY_AUTHORIZED"
        return declined(issue, order.custom_id, order.id, kept=False)
    if order.status != "APPROVED" and not pays_now(source):
        return declined("ORDER_NOT_APPROVED", order.custom_id, order.id, kept=False)
    assert order.status in _PAYABLE
    return _paid(context, order, source, status=201)


def _paid(context: PayPalContext, order: Order, source: JsonObject, *, status: int) -> Decision:
    """Charge or authorize the order, unless its source, amount or invoice says otherwise."""
    decline = _decline(context, order, source)
    if decline is None and context.state.is_invoiced_elsewhere(order.invoice_id, order.id):
        decline = "DUPLICATE_INVOICE_ID"
    if decline is not None and not declines.is_response_code(decline):
        return declined(decline, order.custom_id, order.id)
    order = replace(
        order,
        status="COMPLETED",
        updated=context.at,
        source=_shown(source) if source else order.source,
    )
    if order.intent == "CAPTURE":
        taken = _capture_of(context, order, decline)
        order = replace(order, captures=(taken.id,))
        effect = "charged" if taken.status == "COMPLETED" else None
        return _settled(order, taken, (effect, _EVENTS[taken.status]), status)
    held = _authorization_of(context, order, decline)
    order = replace(order, authorizations=(held.id,))
    effect = "authorized" if decline is None else None
    return _settled(order, held, (effect, "PAYMENT.AUTHORIZATION.CREATED"), status)


def _settled(
    order: Order, made: Capture | Authorization, told: tuple[str | None, str], status: int
) -> Decision:
    """What was made of an order, its effect and event."""
    is_pending = made.status == "PENDING"
    paid = "pending" if is_pending else "ok"
    return Decision(
        status=status,
        outcome=paid if made.response_code is None else f"declined:{made.response_code}",
        writes=(order, made),
        keeps_key=True,
        effect=told[0],
        reference=made.id,
        payment_id=order.custom_id,
        amount_minor=order.amount,
        currency=order.currency,
        events=(told[1],),
    )


def _decline(context: PayPalContext, order: Order, source: JsonObject) -> str | None:
    spec = context.faults.replacing
    if spec is not None and spec.kind is FaultKind.DECLINE:
        return spec.code or "INSTRUMENT_DECLINED"
    asked = declines.mocked(context.mock) or declines.of_source(source)
    return asked or declines.MAGIC_AMOUNTS.get(order.amount)


def _capture_of(context: PayPalContext, order: Order, response_code: str | None) -> Capture:
    is_pending = order.pends or context.faults.has(FaultKind.PEND)
    paid = "PENDING" if is_pending else "COMPLETED"
    return Capture(
        id=context.ids.capitals(),
        order_id=order.id,
        created=context.at,
        updated=context.at,
        status=paid if response_code is None else "DECLINED",
        amount=order.amount,
        currency=order.currency,
        custom_id=order.custom_id,
        invoice_id=order.invoice_id,
        response_code=response_code,
    )


def _authorization_of(
    context: PayPalContext, order: Order, response_code: str | None
) -> Authorization:
    return Authorization(
        id=context.ids.capitals(),
        order_id=order.id,
        created=context.at,
        updated=context.at,
        status="CREATED" if response_code is None else "DENIED",
        amount=order.amount,
        currency=order.currency,
        custom_id=order.custom_id,
        invoice_id=order.invoice_id,
        response_code=response_code,
        pends=order.pends,
    )


def _shown(source: JsonObject) -> dict[str, object]:
    """A payment source as it may be shown: never a number or a token."""
    shown: dict[str, object] = {}
    for kind, instrument in source.items():
        details = instrument if isinstance(instrument, dict) else {}
        match kind:
            case "card":
                number = details.get("number")
                digits = number[-4:] if isinstance(number, str) else "1881"
                shown["card"] = {"last_digits": digits, "brand": "VISA", "type": "CREDIT"}
            case "token":
                shown["token"] = {"id": "***", "type": details.get("type", "BILLING_AGREEMENT")}
            case _:
                shown[kind] = {
                    "email_address": "payer@example.com",
                    "account_id": "PAYERSIMULATOR",
                    "account_status": "VERIFIED",
                }
    return shown
