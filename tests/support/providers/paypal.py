"""PayPal's gateway against a raw server, and PayPal's orders as tests write them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from payments.money import Money
from payments.outcome import Declined, Finding, Pending, Unknown
from providers.paypal.config import PayPalConfig
from providers.paypal.gateway import PayPalGateway
from providers.paypal.objects import Kind, Order, Reference
from tests.support.providers import wire
from tests.support.providers.configs import configured

SECRET = "do-not-tell"
USD = {"currency_code": "USD", "value": "50.00"}
CREATED = {"id": "O1", "status": "CREATED", "purchase_units": [{"reference_id": "default"}]}
CAPTURE = {"id": "C1", "status": "COMPLETED", "amount": USD}
DONE = CREATED | {
    "status": "COMPLETED",
    "purchase_units": [{"payments": {"captures": [CAPTURE]}}],
}

# What the orders below are about, and what is found in them again and again.
ASKED = Money(5000, "USD")
AUTHORIZATION = Reference("O1", Kind.AUTHORIZATION, "A1")
VOIDED = Declined("AUTHORIZATION_VOIDED", "the authorization was voided", is_released=True)
EXPIRED = Declined(
    "authorization_expired", "the authorization was not captured in time", is_released=True
)
WAITING = Pending("pending", "pending: no reason given")
UNEXPECTED = "unexpected_status"


class Clock:
    """A time that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now


def config(url: str, timeout_s: float = 5.0) -> PayPalConfig:
    variables = {
        "PAYMENTS_PAYPAL_CLIENT_ID": "client",
        "PAYMENTS_PAYPAL_CLIENT_SECRET": SECRET,
        "PAYMENTS_PAYPAL_VAULT_ID": "vault-1",
    }
    return configured(PayPalConfig, url, timeout_s, variables)


@asynccontextmanager
async def paypal_at(
    url: str, clock: Clock | None = None, timeout_s: float = 5.0
) -> AsyncIterator[PayPalGateway]:
    """A gateway for as long as the context lasts."""
    gateway = PayPalGateway(config(url, timeout_s), now=clock or Clock())
    try:
        yield gateway
    finally:
        await gateway.aclose()


def token(text: str = "token-1", expires_in: float = 3600.0) -> wire.Behaviour:
    """A grant of an access token."""
    return wire.reply(200, {"access_token": text, "expires_in": expires_in})


def refusal(status: int, issue: str) -> wire.Behaviour:
    """An error with PayPal's machine-readable reason."""
    return wire.reply(status, {"name": "UNPROCESSABLE_ENTITY", "details": [{"issue": issue}]})


def order_of(status: str = "COMPLETED", **payments: list[dict[str, object]]) -> Order:
    """An order, and what has happened to it."""
    unit = {"reference_id": "default", "payments": payments} if payments else {}
    return Order.model_validate({"id": "O1", "status": status, "purchase_units": [unit]})


def movement(status: str, identifier: str = "X1", **fields: object) -> dict[str, object]:
    """A capture, an authorization or a refund, of 50.00."""
    return {"id": identifier, "status": status, "amount": USD, **fields}


def expect(found: Finding, expected: Finding | str) -> None:
    """Equal, or an Unknown of that code."""
    if isinstance(expected, str):
        assert isinstance(found, Unknown)
        assert found.code == expected
    else:
        assert found == expected
