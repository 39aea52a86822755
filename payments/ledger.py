"""Two-phase transfers: one row moves one positive amount from a debit to a credit account.

Balanced by construction, append-only, and never across currencies. `pending`
reserves, `posted` moves, `voided` releases; the latter two may resolve a pending
transfer, once. The terms are TigerBeetle's.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from payments.account import Account, SystemAccount
from payments.ids import uuid7
from payments.record import Struct, replace

if TYPE_CHECKING:
    from uuid import UUID

Party = Account | SystemAccount


class TransferState(StrEnum):
    """What a ledger row does."""

    PENDING = "pending"
    POSTED = "posted"
    VOIDED = "voided"


class TransactionType(StrEnum):
    """Why money moved, as a statement shows it."""

    OPENING_BALANCE = "opening_balance"
    TRANSFER = "transfer"
    PAYMENT = "payment"
    REFUND = "refund"
    REFUND_RETURNED = "refund_returned"
    DISPUTE = "dispute"


class Entry(Struct, frozen=True):
    """What a new ledger row says beside its two accounts; `amount_minor` is positive."""

    id: UUID
    amount_minor: int
    transaction_type: TransactionType
    recorded_at: datetime
    description: str | None = None
    payment_id: UUID | None = None
    refund_id: UUID | None = None


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# An id is made up to a moment after the time of its row: the next row's is later all the same.
_STEP: Final = timedelta(milliseconds=1)


class Hold(Struct, frozen=True):
    """A pending transfer to resolve: its id, and the whole amount it reserves."""

    id: UUID
    amount_minor: int


class LedgerTransfer(Struct, frozen=True):
    """One ledger row; `releases_minor` is what it gives back of the hold it resolves."""

    entry: Entry
    state: TransferState
    tenant_id: str
    currency: str
    debit_account_id: UUID
    credit_account_id: UUID
    pending_id: UUID | None
    releases_minor: int
    debit_balance_after: int | None
    credit_balance_after: int | None
    debit_held_after: int | None


class Moved(Struct, frozen=True):
    """A new row, and its customers' accounts as they are after it."""

    transfer: LedgerTransfer
    accounts: tuple[Account, ...]


def reserve(debit: Party, credit: Party, entry: Entry) -> Moved:
    """Hold the amount: the debit account has it no longer available."""
    entry, amount = _after(entry, debit, credit), entry.amount_minor
    return _moved(
        TransferState.PENDING,
        _changed(debit, entry, debits_pending=amount),
        _changed(credit, entry, credits_pending=amount),
        entry,
    )


def transfer(debit: Party, credit: Party, entry: Entry) -> Moved:
    """Move the amount at once."""
    entry, amount = _after(entry, debit, credit), entry.amount_minor
    return _moved(
        TransferState.POSTED,
        _changed(debit, entry, debits_posted=amount),
        _changed(credit, entry, credits_posted=amount),
        entry,
    )


def post(hold: Hold, debit: Party, credit: Party, entry: Entry) -> Moved:
    """Resolve a hold by moving the entry's amount, all of it or less; the rest is released."""
    assert entry.amount_minor <= hold.amount_minor, "cannot post more than is held"
    entry, amount, held = _after(entry, debit, credit), entry.amount_minor, hold.amount_minor
    return _moved(
        TransferState.POSTED,
        _changed(debit, entry, debits_posted=amount, debits_pending=-held),
        _changed(credit, entry, credits_posted=amount, credits_pending=-held),
        entry,
        hold,
    )


def void(hold: Hold, debit: Party, credit: Party, entry: Entry) -> Moved:
    """Resolve a hold by releasing all of it."""
    assert entry.amount_minor == hold.amount_minor, "a void releases the whole hold"
    entry, held = _after(entry, debit, credit), hold.amount_minor
    return _moved(
        TransferState.VOIDED,
        _changed(debit, entry, debits_pending=-held),
        _changed(credit, entry, credits_pending=-held),
        entry,
        hold,
    )


def _after(entry: Entry, debit: Party, credit: Party) -> Entry:
    """The entry, dated after the last of either customer: hosts' clocks differ.

    Its id moves with it, because ids are what statements are ordered by.
    """
    known = [
        party.updated_at
        for party in (debit, credit)
        if isinstance(party, Account) and party.version and party.updated_at > entry.recorded_at
    ]
    if not known:
        return entry
    recorded_at = max(known) + _STEP
    unix_ns = (recorded_at - _EPOCH) // timedelta(microseconds=1) * 1000
    return replace(entry, recorded_at=recorded_at, id=uuid7(unix_ns, entry.id.int))


def _changed(
    account: Party,
    entry: Entry,
    *,
    debits_posted: int = 0,
    credits_posted: int = 0,
    debits_pending: int = 0,
    credits_pending: int = 0,
) -> Party:
    if isinstance(account, SystemAccount):
        return account
    changed = replace(
        account,
        debits_posted=account.debits_posted + debits_posted,
        credits_posted=account.credits_posted + credits_posted,
        debits_pending=account.debits_pending + debits_pending,
        credits_pending=account.credits_pending + credits_pending,
        version=account.version + 1,
        updated_at=entry.recorded_at,
    )
    assert changed.available >= 0, "overdrawn: the caller must check before it moves money"
    assert changed.debits_pending >= 0, "more released than was held"
    return changed


def _moved(
    state: TransferState,
    debit: Party,
    credit: Party,
    entry: Entry,
    hold: Hold | None = None,
) -> Moved:
    assert entry.amount_minor > 0, "a transfer moves a positive amount"
    assert debit.currency == credit.currency, "a transfer has one currency"
    assert debit.id != credit.id, "a transfer has two sides"
    row = LedgerTransfer(
        entry=entry,
        state=state,
        tenant_id=debit.tenant_id,
        currency=debit.currency,
        debit_account_id=debit.id,
        credit_account_id=credit.id,
        pending_id=hold.id if hold else None,
        releases_minor=hold.amount_minor if hold else 0,
        debit_balance_after=debit.balance if isinstance(debit, Account) else None,
        credit_balance_after=credit.balance if isinstance(credit, Account) else None,
        debit_held_after=debit.debits_pending if isinstance(debit, Account) else None,
    )
    return Moved(row, tuple(party for party in (debit, credit) if isinstance(party, Account)))
