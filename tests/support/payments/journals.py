"""Journals for tests: rows as a ledger has them, sealed in pieces."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID

from payments.journal.seals import JournalRow, Seal, seal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from payments.journal.audit import JournalItem

SEALED_AT: Final = datetime(2026, 1, 2, tzinfo=UTC)
ROW: Final = JournalRow(
    id=UUID(int=1),
    tenant_id="default",
    state="posted",
    pending_id=None,
    debit_account_id=UUID(int=100),
    credit_account_id=UUID(int=200),
    amount_minor=5_000,
    releases_minor=0,
    currency="USD",
    transaction_type="transfer",
    description=None,
    payment_id=UUID(int=300),
    refund_id=None,
    debit_balance_after=95_000,
    credit_balance_after=None,
    recorded_at=datetime(2026, 1, 1, tzinfo=UTC),
    debit_held_after=0,
)


def row(number: int, tenant_id: str = "default") -> JournalRow:
    """The row of that id, a second later than the one before."""
    at = ROW.recorded_at + timedelta(seconds=number)
    return replace(ROW, id=UUID(int=number), tenant_id=tenant_id, recorded_at=at)


def sealed(rows: Sequence[JournalRow], *sizes: int) -> list[JournalItem]:
    """The rows of one tenant with seals after so many of them each; what is left has none."""
    items: list[JournalItem] = []
    last: Seal | None = None
    at = 0
    for size in sizes:
        piece = rows[at : at + size]
        at += size
        last = seal(piece, last, SEALED_AT + timedelta(seconds=at))
        items += [*piece, last]
    return [*items, *rows[at:]]
