"""Webhook signatures: Stripe's against what Stripe's own library makes, PayPal's question."""

from __future__ import annotations

import json

import pytest
from stripe import WebhookSignature

from providers.notifications import Verdict
from providers.paypal.notifications import verification
from providers.stripe.notifications import verify_stripe

_NOW = 1_790_000_000
_SECRET = "whsec_test"
_PAYLOAD = b'{"id": "evt_1",  "type": "payment_intent.succeeded"}'


def _sign(payload: bytes = _PAYLOAD, secret: str = _SECRET, at: int = _NOW) -> str:
    signature = WebhookSignature._compute_signature(f"{at}.{payload.decode()}", secret)  # noqa: SLF001 - the vendor's own signer is what ours must agree with
    return f"t={at},v1={signature}"


@pytest.mark.parametrize(
    ("header", "verdict"),
    [
        (_sign(), Verdict.VALID),
        (_sign() + ",v0=older", Verdict.VALID),
        ("v1=00," + _sign(), Verdict.VALID),
        (_sign().replace(",", ", "), Verdict.VALID),
        (_sign(at=_NOW - 300), Verdict.VALID),
        (_sign(at=_NOW - 301), Verdict.EXPIRED),
        (_sign(at=_NOW + 301), Verdict.EXPIRED),
        (_sign(secret="whsec_other"), Verdict.MISMATCH),
        (_sign(payload=_PAYLOAD.replace(b"  ", b" ")), Verdict.MISMATCH),
        (_sign().replace(f"t={_NOW}", f"t={_NOW - 1}"), Verdict.MISMATCH),
        (f"t={_NOW},v1=é", Verdict.MISMATCH),
        (_sign().replace("v1=", "v0="), Verdict.MALFORMED),
        (_sign().replace("t=", "s="), Verdict.MALFORMED),
        (f"t=1,{_sign()}", Verdict.MALFORMED),
        (f"t=-{_NOW},v1=00", Verdict.MALFORMED),
        (f"t={'9' * 30}x,v1=00", Verdict.MALFORMED),
        ("", Verdict.MALFORMED),
    ],
)
def test_a_stripe_signature_is(header: str, verdict: Verdict) -> None:
    """Only the very bytes, signed with this endpoint's secret, lately."""
    assert verify_stripe(_PAYLOAD, header, _SECRET, now=_NOW) is verdict


_HEADERS = {
    "PAYPAL-AUTH-ALGO": "SHA256withRSA",
    "PAYPAL-CERT-URL": "https://api.paypal.com/cert.pem",
    "PAYPAL-TRANSMISSION-ID": "id",
    "PAYPAL-TRANSMISSION-SIG": "sig",
    "PAYPAL-TRANSMISSION-TIME": "2026-11-23T00:00:00Z",
}


def test_paypal_is_asked_about_the_bytes_that_came() -> None:
    """The event is embedded as it was received: the signature covers its very bytes."""
    payload = b'{"id":  "WH-1", "amount": 1.50}'
    question = verification("WEBHOOK", _HEADERS, payload)
    assert question is not None
    assert payload in question
    asked = json.loads(question)
    assert asked["webhook_id"] == "WEBHOOK"
    assert asked["transmission_sig"] == "sig"
    assert asked["webhook_event"] == {"id": "WH-1", "amount": 1.5}


@pytest.mark.parametrize(
    "payload",
    [b"", b"[]", b"not json", b'{}, "webhook_id": "MINE"', b"\xff", b"[" * 100_000],
    ids=["empty", "list", "text", "injection", "bytes", "deep"],
)
def test_a_payload_that_is_no_json_object_is_not_asked_about(payload: bytes) -> None:
    """Nothing can be smuggled into the question beside the event."""
    assert verification("WEBHOOK", _HEADERS, payload) is None


@pytest.mark.parametrize("missing", _HEADERS)
def test_a_webhook_without_a_paypal_header_is_not_asked_about(missing: str) -> None:
    """All five headers belong to a signature."""
    headers = {name: value for name, value in _HEADERS.items() if name != missing}
    assert verification("WEBHOOK", headers, b"{}") is None
