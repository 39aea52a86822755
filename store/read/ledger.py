"""Reading the ledger of a customer account: its statement, and what it had at a past instant."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING
from uuid import UUID

from payments.ledger import TransactionType
from store.queries import bound
from store.read.found import found_by
from store.read.id_ranges import LAST_ID, first_id_of

if TYPE_CHECKING:
    from datetime import datetime

    from asyncpg import Record
    from asyncpg.pool import PoolConnectionProxy

    from store.read.found import Found


class Direction(StrEnum):
    """Which side of a transfer the account was."""

    DEBIT = "debit"
    CREDIT = "credit"


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One movement of an account's money; amounts in minor units of `currency`."""

    id: UUID
    account_id: UUID
    transaction_type: TransactionType
    direction: Direction
    amount_minor: int
    currency: str
    balance_after_minor: int
    description: str | None
    payment_id: UUID | None
    refund_id: UUID | None
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class Balance:
    """An account at one instant, in minor units: what was posted, and what of it was held."""

    currency: str
    opened_at: datetime
    posted_minor: int
    held_minor: int


async def statement(
    connection: PoolConnectionProxy,
    tenant_id: str,
    account_id: UUID,
    *,
    before: UUID | None,
    limit: int,
) -> Found[StatementLine, UUID]:
    """What moved in the account, newest first, older than the line `before`."""
    return await found_by(
        connection,
        "statement_page",
        partial(_line, account_id),
        itemgetter("id"),
        tenant_id=tenant_id,
        account_id=account_id,
        before_id=before or LAST_ID,
        rows_max=limit,
    )


async def balance_at(
    connection: PoolConnectionProxy, tenant_id: str, account_id: UUID, instant: datetime
) -> Balance | None:
    """What the account had at a past instant, or None if there is no such account.

    Before the account was opened it had nothing.
    """
    past = {
        "tenant_id": tenant_id,
        "account_id": account_id,
        "instant": instant,
        "first_id": first_id_of(instant),
    }
    row = await connection.fetchrow(*bound("balance_at", **past))
    if row is None:
        return None
    held_minor = row["held_minor"]
    if held_minor is None:
        # Two statements: what is held changes in both of them, by rows since the instant alone.
        held_minor = await connection.fetchval(*bound("held_at", **past))
    return Balance(row["currency"], row["created_at"], row["posted_minor"], held_minor)


def _line(account_id: UUID, row: Record) -> StatementLine:
    return StatementLine(
        id=row["id"],
        account_id=account_id,
        transaction_type=TransactionType(row["transaction_type"]),
        direction=Direction(row["direction"]),
        amount_minor=row["amount_minor"],
        currency=row["currency"],
        balance_after_minor=row["balance_after_minor"],
        description=row["description"],
        payment_id=row["payment_id"],
        refund_id=row["refund_id"],
        recorded_at=row["recorded_at"],
    )
