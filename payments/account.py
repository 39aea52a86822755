"""Accounts: a customer's, whose totals are kept, and the system's, which only the ledger knows.

A customer's `available` is never negative; every change of an account raises its
version by one.
"""

from __future__ import annotations

from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from payments.ids import system_account_id
from payments.record import Struct

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID


# What may ever go into an account, or out of it, before it takes no new payment: a thousand of
# the largest. A 64-bit column holds nine times as much, so that whatever was accepted can still
# be settled, and given back.
TURNOVER_MINOR_MAX: Final = 10**18
# How often an account may have changed before it takes no new payment. Its version is a 32-bit
# column, which holds a hundred million more: whatever was accepted changes it once or twice again.
CHANGES_MAX: Final = 2 * 10**9


class AccountStatus(StrEnum):
    """Whether money may move through the account."""

    ACTIVE = "active"
    FROZEN = "frozen"
    CLOSED = "closed"


class Account(Struct, frozen=True):
    """A customer's account; all amounts are minor units of `currency`."""

    id: UUID
    tenant_id: str
    user_id: str
    currency: str
    status: AccountStatus
    debits_posted: int
    credits_posted: int
    debits_pending: int
    credits_pending: int
    version: int
    created_at: datetime
    updated_at: datetime

    @property
    def balance(self) -> int:
        """What was posted: credits minus debits."""
        return self.credits_posted - self.debits_posted

    @property
    def available(self) -> int:
        """What may still be spent: the balance less what is held."""
        return self.balance - self.debits_pending


class SystemAccount(Struct, frozen=True):
    """The other side of what customers do: append-only, one a tenant, code and currency."""

    id: UUID
    tenant_id: str
    code: str
    currency: str


def world(tenant_id: str, currency: str) -> SystemAccount:
    """Where opening balances come from; its balance is minus all money in the system."""
    return _system_account(tenant_id, "world", currency)


def clearing(tenant_id: str, provider: str, currency: str) -> SystemAccount:
    """What a provider has collected for us and not yet settled, less refunds."""
    return _system_account(tenant_id, f"clearing:{provider}", currency)


def disputed(tenant_id: str, provider: str, currency: str) -> SystemAccount:
    """What a provider has taken out of clearing again for disputes; what is lost stays here."""
    return _system_account(tenant_id, f"disputed:{provider}", currency)


def receivables(tenant_id: str, currency: str) -> SystemAccount:
    """What customers owe who had spent the money of a refund that came back."""
    return _system_account(tenant_id, "receivables", currency)


# A name-based id costs as much as the rest of a decision; a process meets few of them.
@lru_cache(maxsize=4096)
def _system_account(tenant_id: str, code: str, currency: str) -> SystemAccount:
    return SystemAccount(
        id=system_account_id(tenant_id, code, currency),
        tenant_id=tenant_id,
        code=code,
        currency=currency,
    )
