"""Stripe's objects as a raw server answers with them, and a gateway that asks it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import parse_qs, urlsplit

from providers.stripe.config import StripeConfig
from providers.stripe.gateway import StripeGateway
from tests.support.providers import wire
from tests.support.providers.configs import configured
from tests.support.providers.requests import Payment

KEY: Final = "sk_test_do_not_tell"
VARIABLES: Final = {"PAYMENTS_STRIPE_API_KEY": KEY}
RATE_LIMITED: Final = wire.reply(
    429, {"error": {"type": "invalid_request_error", "code": "rate_limit"}}
)
MISSING: Final = wire.reply(
    404, {"error": {"type": "invalid_request_error", "code": "resource_missing"}}
)


@asynccontextmanager
async def stripe_at(
    url: str, timeout_s: float = 5.0, now: Callable[[], float] = time.time
) -> AsyncIterator[StripeGateway]:
    gateway = StripeGateway(configured(StripeConfig, url, timeout_s, VARIABLES), now=now)
    try:
        yield gateway
    finally:
        await gateway.aclose()


def intent(payment: Payment, status: str = "succeeded", **fields: object) -> dict[str, object]:
    received = payment.amount.amount_minor if status == "succeeded" else 0
    return {
        "id": "pi_1",
        "object": "payment_intent",
        "status": status,
        "amount": payment.amount.amount_minor,
        "amount_received": received,
        "currency": payment.amount.currency.lower(),
        "metadata": {"payment_id": str(payment.id)},
        "created": 1,
        **fields,
    }


def page(*items: object, has_more: bool = False) -> wire.Behaviour:
    return wire.reply(200, {"object": "list", "data": items, "has_more": has_more, "url": "/"})


def asked_for(seen: wire.SeenRequest) -> dict[str, list[str]]:
    """The fields of a read."""
    return parse_qs(urlsplit(seen.target).query)
