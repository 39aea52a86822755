"""Data for tests: commands with every field filled, so that a test names only what matters."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from payments.commands import CreatePayment, OpenAccount
from payments.dead_letter import SourceMessage
from payments.money import Money
from payments.notification import ProviderNotification, Reported
from payments.payment import CaptureMethod, PaymentType, Provider

if TYPE_CHECKING:
    from collections.abc import Mapping

TENANT = "default"
STRIPE = Provider("stripe")
NOWHERE = UUID(int=0)
SOURCE = SourceMessage("payments.charges", 0, 1, b"key", b'{"payment_id": "x"}')


def said(
    what: Reported, event_id: str = "evt_1", provider: Provider = STRIPE
) -> ProviderNotification:
    """A provider's notification about `pi_1`."""
    return ProviderNotification(provider, event_id, f"test.{what.value}", what, "pi_1")


def usd(minor: int) -> Money:
    """So many cents."""
    return Money(minor, "USD")


def open_account(
    balance: Money | None = None, *, tenant_id: str = TENANT, user_id: str = "user1"
) -> OpenAccount:
    """An account with 1,000 USD."""
    return OpenAccount(tenant_id, user_id, usd(100_000) if balance is None else balance)


def pay(  # noqa: PLR0913 - a test names the field it is about
    source_account_id: UUID,
    amount: Money | None = None,
    *,
    tenant_id: str = TENANT,
    provider: Provider = STRIPE,
    capture_method: CaptureMethod = CaptureMethod.AUTOMATIC,
    idempotency_key: str | None = None,
    metadata: Mapping[str, object] | None = None,
) -> CreatePayment:
    """An external payment of 50 USD."""
    return CreatePayment(
        tenant_id=tenant_id,
        payment_type=PaymentType.EXTERNAL,
        source_account_id=source_account_id,
        destination_account_id=None,
        amount=amount or usd(5_000),
        provider=provider,
        capture_method=capture_method,
        idempotency_key=idempotency_key,
        metadata=metadata or {},
    )


def transfer(
    source_account_id: UUID,
    destination_account_id: UUID,
    amount: Money | None = None,
    *,
    tenant_id: str = TENANT,
) -> CreatePayment:
    """An internal transfer of 100 USD."""
    return CreatePayment(
        tenant_id=tenant_id,
        payment_type=PaymentType.INTERNAL,
        source_account_id=source_account_id,
        destination_account_id=destination_account_id,
        amount=amount or usd(10_000),
        provider=None,
        capture_method=CaptureMethod.AUTOMATIC,
    )
