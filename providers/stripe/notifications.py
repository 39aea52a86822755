"""Stripe's webhooks, genuine by their signature: HMAC-SHA256 over the time and the body.

Source: docs.stripe.com/webhooks/signature, "Verify webhook signatures manually".
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from typing import Final

from providers.notifications import Notification, Verdict
from providers.stripe.config import NAME, StripeConfig
from providers.stripe.events import read_stripe_event


class StripeWebhooks:
    """What Stripe posts to the endpoint with our signing secret; `now` is in Unix seconds."""

    name: Final = NAME

    def __init__(
        self,
        config: StripeConfig,
        _connections: int = 0,  # a signature is checked without asking
        now: Callable[[], float] = time.time,
    ) -> None:
        self._secret = config.webhook_key
        self._now = now

    async def verify(self, headers: Mapping[str, str], payload: bytes) -> Verdict:
        header = headers.get("Stripe-Signature", "")
        return verify_stripe(payload, header, self._secret, now=self._now())

    def read(self, payload: bytes) -> Notification | None:
        return read_stripe_event(payload)

    async def aclose(self) -> None:
        """Nothing is open: a signature is checked without asking anybody."""


def verify_stripe(
    payload: bytes, header: str, secret: str, *, now: float, tolerance_s: float = 300.0
) -> Verdict:
    """Check a `Stripe-Signature` header (`t=...,v1=...,v1=...`) against an endpoint's secret.

    `now` is in Unix seconds; a signature further from it than `tolerance_s`, in either
    direction, is EXPIRED. There are several `v1` while a secret is being rolled.
    """
    fields = [part.strip().partition("=") for part in header.split(",")]
    times = [value for name, _, value in fields if name == "t"]
    signatures = [value for name, _, value in fields if name == "v1"]
    # int() alone would also take "1_0", "+1" and the digits of other scripts.
    if len(times) != 1 or not (times[0].isascii() and times[0].isdigit()) or not signatures:
        return Verdict.MALFORMED
    signed = times[0].encode() + b"." + payload
    expected = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest().encode()
    # bytes: compare_digest refuses non-ASCII text; every one is compared, so that the time taken
    # does not tell which matched.
    matches = [hmac.compare_digest(expected, given.encode()) for given in signatures]
    if not any(matches):
        return Verdict.MISMATCH
    return Verdict.VALID if abs(now - int(times[0])) <= tolerance_s else Verdict.EXPIRED
