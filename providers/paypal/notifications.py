"""PayPal's webhook signatures, checked by PayPal itself.

The alternative, to fetch the signing certificate whose address the message names, trusts
the network with more. Source: developer.paypal.com/docs/api/webhooks/v1,
"Verify webhook signature".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from pydantic import BaseModel, ValidationError

from providers.notifications import Notification, Verdict
from providers.paypal.client import PayPalClient
from providers.paypal.config import NAME, PayPalConfig
from providers.paypal.events import read_paypal_event
from providers.transport import CONNECTIONS, Answer

_PATH: Final = "/v1/notifications/verify-webhook-signature"
_OK: Final = 200
_FIELDS: Final = {
    "auth_algo": "PAYPAL-AUTH-ALGO",
    "cert_url": "PAYPAL-CERT-URL",
    "transmission_id": "PAYPAL-TRANSMISSION-ID",
    "transmission_sig": "PAYPAL-TRANSMISSION-SIG",
    "transmission_time": "PAYPAL-TRANSMISSION-TIME",
}


class PayPalWebhooks:
    """What PayPal posts to our webhook, by its id."""

    name: Final = NAME

    def __init__(self, config: PayPalConfig, connections: int = CONNECTIONS) -> None:
        self._client = PayPalClient(config, connections)
        self._webhook_id = config.webhook_key

    async def verify(self, headers: Mapping[str, str], payload: bytes) -> Verdict:
        return await verify_paypal(self._client, self._webhook_id, headers, payload)

    def read(self, payload: bytes) -> Notification | None:
        return read_paypal_event(payload)

    async def aclose(self) -> None:
        await self._client.aclose()


async def verify_paypal(
    client: PayPalClient, webhook_id: str, headers: Mapping[str, str], payload: bytes
) -> Verdict:
    """Ask PayPal whether it sent this webhook; `headers` are looked up as they are spelled here."""
    question = verification(webhook_id, headers, payload)
    if question is None:
        return Verdict.MALFORMED
    exchange = await client.ask(_PATH, question)
    if not isinstance(exchange, Answer) or exchange.status != _OK:
        return Verdict.UNDECIDED
    try:
        status = _Verification.model_validate_json(exchange.body).verification_status
    except ValidationError:
        return Verdict.UNDECIDED
    return Verdict.VALID if status == "SUCCESS" else Verdict.MISMATCH


def verification(webhook_id: str, headers: Mapping[str, str], payload: bytes) -> bytes | None:
    """The question to PayPal; None when a header is missing or the payload is no JSON object.

    The signature covers the payload's very bytes, so they are put in as they came. That
    they are one JSON object is checked first, or they could answer for their neighbours.
    """
    try:
        fields = {field: headers[header] for field, header in _FIELDS.items()}
        if not isinstance(json.loads(payload), dict):
            return None
    except (KeyError, ValueError, RecursionError):
        return None
    envelope = json.dumps({**fields, "webhook_id": webhook_id}).encode()
    return envelope[:-1] + b', "webhook_event": ' + payload + b"}"


class _Verification(BaseModel):
    verification_status: str
