"""Every state of an intent and an authorization against every command, the impossible too."""

from collections.abc import Mapping

import orjson
import pytest

from simulator.vendor import Refused
from tests.support.simulator.counter import Counter, paypal_counter, stripe_counter


@pytest.fixture
def stripe() -> Counter:
    return stripe_counter()


@pytest.fixture
def paypal() -> Counter:
    return paypal_counter()


def _rows(
    table: Mapping[str, tuple[str, ...]], commands: tuple[str, ...]
) -> list[tuple[str, str, str]]:
    """A row for each cell of a table of states by commands."""
    return [
        (state, command, expected)
        for state, cells in table.items()
        for command, expected in zip(commands, cells, strict=True)
    ]


_CREATE = b"amount=1000&currency=usd&payment_method_types[]=card"
_CARD = _CREATE + b"&payment_method=pm_card_visa"
# How an intent gets into each state.
_INTENTS = {
    "requires_payment_method": [("", _CREATE)],
    "requires_confirmation": [("", _CARD)],
    "requires_action": [
        ("", _CREATE + b"&confirm=true&payment_method=pm_card_authenticationRequired")
    ],
    "requires_capture": [("", _CARD + b"&confirm=true&capture_method=manual")],
    "succeeded": [("", _CARD + b"&confirm=true")],
    "canceled": [("", _CARD), ("/cancel", b"")],
}
_STATE_ERROR = "payment_intent_unexpected_state"


_INTENT_COMMANDS = ("confirm", "capture", "cancel", "refund", "update")
_INTENT_TABLE = {
    "requires_payment_method": ("charged", _STATE_ERROR, "ok", _STATE_ERROR, "ok"),
    "requires_confirmation": ("charged", _STATE_ERROR, "ok", _STATE_ERROR, "ok"),
    "requires_action": ("charged", _STATE_ERROR, "ok", _STATE_ERROR, "ok"),
    "requires_capture": (_STATE_ERROR, "captured", "voided", _STATE_ERROR, _STATE_ERROR),
    "succeeded": (_STATE_ERROR, _STATE_ERROR, _STATE_ERROR, "refunded", _STATE_ERROR),
    "canceled": (_STATE_ERROR, _STATE_ERROR, _STATE_ERROR, _STATE_ERROR, _STATE_ERROR),
}


@pytest.mark.parametrize(("state", "command", "expected"), _rows(_INTENT_TABLE, _INTENT_COMMANDS))
def test_an_intent_in_each_state_and_each_command(
    stripe: Counter, state: str, command: str, expected: str
) -> None:
    """The effect, or Stripe's refusal; never both."""
    intent = ""
    for path, body in _INTENTS[state]:
        decision = stripe.ask("POST", f"/v1/payment_intents{intent}{path}", body)
        intent = f"/{decision.reference}"
    if command == "refund":
        refund = f"payment_intent={intent[1:]}".encode()
        decision = stripe.ask("POST", "/v1/refunds", refund)
    elif command == "update":
        path = f"/v1/payment_intents{intent}"
        decision = stripe.ask("POST", path, b"amount=2000")
        told = stripe.ask("POST", path, b"metadata[note]=told&description=told")
        assert told.outcome == "ok", "what is only said may be said at any time"
    else:
        body = b"payment_method=pm_card_visa" if command == "confirm" else b""
        decision = stripe.ask("POST", f"/v1/payment_intents{intent}/{command}", body)
    assert (decision.effect or decision.outcome) == expected


def _order(intent: str) -> bytes:
    return orjson.dumps(
        {
            "intent": intent,
            "purchase_units": [{"amount": {"currency_code": "USD", "value": "10.00"}}],
            "payment_source": {"card": {"vault_id": "vaulted"}},
        }
    )


_AUTHORIZATION_TABLE = {
    "CREATED": ("captured", "voided"),
    "PARTIALLY_CAPTURED": ("captured", "voided"),
    "CAPTURED": ("declined:AUTHORIZATION_ALREADY_CAPTURED", "declined:PREVIOUSLY_CAPTURED"),
    "VOIDED": ("declined:AUTHORIZATION_VOIDED", "declined:PREVIOUSLY_VOIDED"),
}


@pytest.mark.parametrize(
    ("state", "command", "expected"), _rows(_AUTHORIZATION_TABLE, ("capture", "void"))
)
def test_an_authorization_in_each_state_and_each_command(
    paypal: Counter, state: str, command: str, expected: str
) -> None:
    """The effect, or PayPal's issue; never both."""
    created = paypal.ask("POST", "/v2/checkout/orders", _order("AUTHORIZE"), "key")
    path = f"/v2/payments/authorizations/{created.reference}"
    part = orjson.dumps({"amount": {"currency_code": "USD", "value": "4.00"}})
    match state:
        case "PARTIALLY_CAPTURED":
            paypal.ask("POST", f"{path}/capture", part)
        case "CAPTURED":
            paypal.ask("POST", f"{path}/capture", b"")
        case "VOIDED":
            paypal.ask("POST", f"{path}/void", b"")
        case _:
            pass
    decision = paypal.ask("POST", f"{path}/{command}", b"")
    assert (decision.effect or decision.outcome) == expected


@pytest.mark.parametrize(
    "body", [b"{", b"[1]", b"{}", b'{"intent":"CAPTURE","purchase_units":[{"amount":1}]}', b"\xff"]
)
def test_no_body_a_client_can_send_breaks_paypal(paypal: Counter, body: bytes) -> None:
    """Malformed orders are refused, not failed on."""
    try:
        status = paypal.ask("POST", "/v2/checkout/orders", body).status
    except Refused as refused:
        status = refused.status
    assert status == 400


@pytest.mark.parametrize(
    "body", [b"\xff=%ff", b"amount[a]=1&currency=usd", b"currency[]=usd", b"metadata=1&amount=1"]
)
def test_no_form_a_client_can_send_breaks_stripe(stripe: Counter, body: bytes) -> None:
    """Malformed parameters are refused, not failed on."""
    assert stripe.ask("POST", "/v1/payment_intents", body).status == 400
