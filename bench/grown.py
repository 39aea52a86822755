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

_PART: Final = 50_000
_NEVER: Final = datetime(2100, 1, 1, tzinfo=UTC)
_PAYMENT: Final = (
    "id", "tenant_id", "payment_type", "source_account_id", "amount_minor", "currency",
    "capture_method", "status", "provider", "captured_minor", "metadata", "max_retries",
    "version", "sequence", "operation", "due_at", "created_at", "updated_at", "completed_at",
)  # fmt: skip
_TRANSFER: Final = (
    "id", "tenant_id", "state", "debit_account_id", "credit_account_id", "amount_minor",
    "currency", "transaction_type", "debit_balance_after", "credit_balance_after",
    "debit_held_after", "recorded_at",
)  # fmt: skip


def instant(number: int) -> datetime:
    """When the payment of that number was made: one a second."""
    return BEGAN_AT + timedelta(seconds=number)


async def grow(
    connection: asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy,
    count: int,
    *,
    before: int = 0,
) -> None:
    """Payments and ledger rows up to `count`, from `before`; analyzed, as autovacuum would."""
    await copy_payments(connection, count, before=before)
    for first in range(before, count, _PART):
        numbers = range(first + 1, min(first + _PART, count) + 1)
        await connection.copy_records_to_table(
            "ledger_transfers", records=map(_transfer, numbers), columns=_TRANSFER
        )
    await connection.execute(
        "VACUUM ANALYZE payments, open_payments, ledger_transfers", timeout=3600
    )


async def copy_payments(
    connection: asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy,
    count: int,
    *,
    before: int = 0,
    rare_every: int = RARE_EVERY,
) -> None:
    """The payments alone, which any release's schema takes."""
    for first in range(before, count, _PART):
        await connection.copy_records_to_table(
            "payments",
            records=_payments(range(first + 1, min(first + _PART, count) + 1), rare_every),
            columns=_PAYMENT,
        )


def id_of(number: int) -> UUID:
    return UUID(int=first_id_of(instant(number)).int + number)


def _payments(numbers: range, rare_every: int) -> Iterator[tuple[object, ...]]:
    for number in numbers:
        kind, at = number % rare_every, instant(number)
        status = {2: "review", 3: "failed"}.get(kind, "completed")
        is_completed = status == "completed"
        payer = BUSY if number % 2 == 0 else UUID(int=number + 1)
        tenant_id = QUIET_TENANT if number % _QUIET_EVERY == 5 else TENANT
        yield (
            id_of(number), tenant_id, "external_payment", payer,
            100, "KWD" if kind == 1 else "USD", "automatic", status,
            "paypal" if kind == 4 else "stripe", 100 if is_completed else 0, "{}", 4, 1, 1,
            "charge" if kind == 2 else None, _NEVER if kind == 2 else None, at, at,
            at if is_completed else None,
        )  # fmt: skip


def _transfer(number: int) -> tuple[object, ...]:
    """Credited by strangers and debited for payments, in turn."""
    other, is_debit = UUID(int=number + 1), number % 2 == 0
    debit, credit = (BUSY, other) if is_debit else (other, BUSY)
    return (
        id_of(number), TENANT, "posted", debit, credit, 100, "USD", "transfer",
        1_000 if is_debit else None, None if is_debit else 1_100, HELD if is_debit else None,
        instant(number),
    )  # fmt: skip
