"""A database that has grown: payments and ledger rows by COPY, as millions of them would lie."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID

from store.read.id_ranges import first_id_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import asyncpg
    from asyncpg.pool import PoolConnectionProxy

TENANT: Final = "default"
# Has one payment in a thousand, and no other tenant has the rest.
QUIET_TENANT: Final = "quiet"
_QUIET_EVERY: Final = 1_000
# Half of all payments are of this account, and so is every row of the ledger.
BUSY: Final = UUID(int=1)
# One in so many payments is in review; others failed, or have a rare currency or provider.
RARE_EVERY: Final = 10_000
BEGAN_AT: Final = datetime(2024, 6, 1, tzinfo=UTC)
HELD: Final = 7

# Rows that are copied at once.
PART: Final = 50_000
_NEVER: Final = datetime(2100, 1, 1, tzinfo=UTC)
_PAYMENT: Final = (
    "id", "tenant_id", "payment_type", "source_account_id", "amount_minor", "currency",
    "capture_method", "status", "provider", "captured_minor", "metadata", "max_retries",
    "version", "sequence", "operation", "due_at", "created_at", "updated_at", "completed_at",
)  # fmt: skip
_TRANSFER: Final = (
    "id", "tenant_id", "state", "debit_account_id", "credit_account_id", "amount_minor",
    "currency", "transaction_type", "debit_balance_after", "credit_balance_after",
    "debit_held_after", "recorded_at", "payment_id",
)  # fmt: skip
_ACCOUNT: Final = """
INSERT INTO accounts
    (id, tenant_id, user_id, currency, status, credits_posted, version, created_at, updated_at)
VALUES ($1, $2, 'busy', 'USD', 'active', 1000000000000, 1, $3, $3)
ON CONFLICT DO NOTHING
"""
_HISTORY: Final = """
INSERT INTO payment_events
    (payment_id, version, id, tenant_id, sequence, type, data, occurred_at)
SELECT
    id, version, id, tenant_id, sequence, 'payment.created', json_build_object(
        'payment', json_build_object(
            'status', status, 'captured_minor', captured_minor, 'refunded_minor', refunded_minor,
            'retry_count', retry_count, 'version', version
        )
    ), created_at
FROM payments;
INSERT INTO attempts
    (id, tenant_id, payment_id, number, operation, inquiry, provider, provider_key, worker,
     lease_expires_at, started_at, finished_at, outcome)
SELECT
    id, tenant_id, id, 1, 'charge', FALSE, provider, 'charge-' || id, 'worker',
    created_at, created_at, created_at, 'succeeded'
FROM payments
"""


def instant(number: int, began_at: datetime = BEGAN_AT) -> datetime:
    """When the payment of that number was made: one a second."""
    return began_at + timedelta(seconds=number)


async def grow(
    connection: asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy,
    count: int,
    *,
    before: int = 0,
    began_at: datetime = BEGAN_AT,
) -> None:
    """The account, payments and ledger rows up to `count`, from `before`.

    They are analyzed, as autovacuum would.
    """
    await open_account(connection, BUSY, TENANT, began_at)
    await copy_payments(connection, count, before=before, began_at=began_at)
    for first in range(before, count, PART):
        numbers = range(first + 1, min(first + PART, count) + 1)
        await connection.copy_records_to_table(
            "ledger_transfers",
            records=(_transfer(each, began_at) for each in numbers),
            columns=_TRANSFER,
        )
    await connection.execute(
        "VACUUM ANALYZE accounts, payments, open_payments, ledger_transfers", timeout=3600
    )


async def open_account(
    connection: asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy,
    account_id: UUID,
    tenant_id: str,
    at: datetime,
) -> None:
    """One that has plenty, unless it is there."""
    await connection.execute(_ACCOUNT, account_id, tenant_id, at)


async def copy_payments(
    connection: asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy,
    count: int,
    *,
    before: int = 0,
    rare_every: int = RARE_EVERY,
    began_at: datetime = BEGAN_AT,
) -> None:
    """The payments alone, which any release's schema takes."""
    for first in range(before, count, PART):
        numbers = range(first + 1, min(first + PART, count) + 1)
        await connection.copy_records_to_table(
            "payments",
            records=_payments(numbers, rare_every, began_at),
            columns=_PAYMENT,
        )


async def copy_history(
    connection: asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy,
) -> None:
    """An event and an attempt of every payment there is."""
    await connection.execute(_HISTORY, timeout=3600)


def id_of(number: int, began_at: datetime = BEGAN_AT) -> UUID:
    return UUID(int=first_id_of(instant(number, began_at)).int + number)


def _payments(numbers: range, rare_every: int, began_at: datetime) -> Iterator[tuple[object, ...]]:
    for number in numbers:
        kind, at = number % rare_every, instant(number, began_at)
        status = {2: "review", 3: "failed"}.get(kind, "completed")
        is_completed = status == "completed"
        payer = BUSY if number % 2 == 0 else UUID(int=number + 1)
        tenant_id = QUIET_TENANT if number % _QUIET_EVERY == 5 else TENANT
        yield (
            id_of(number, began_at), tenant_id, "external_payment", payer,
            100, "KWD" if kind == 1 else "USD", "automatic", status,
            "paypal" if kind == 4 else "stripe", 100 if is_completed else 0, "{}", 4, 1, 1,
            "charge" if kind == 2 else None, _NEVER if kind == 2 else None, at, at,
            at if is_completed else None,
        )  # fmt: skip


def _transfer(number: int, began_at: datetime) -> tuple[object, ...]:
    """Credited by strangers and debited for payments, in turn."""
    other, is_debit = UUID(int=number + 1), number % 2 == 0
    debit, credit = (BUSY, other) if is_debit else (other, BUSY)
    return (
        id_of(number, began_at), TENANT, "posted", debit, credit, 100, "USD", "payment",
        1_000 if is_debit else None, None if is_debit else 1_100, HELD if is_debit else None,
        instant(number, began_at), id_of(number, began_at),
    )  # fmt: skip
