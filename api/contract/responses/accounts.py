"""An account, its balance now or then, and the lines of its statement."""

# The annotations are what pydantic reads at run time.
from __future__ import annotations

from datetime import datetime
from typing import Self
from uuid import UUID

from pydantic import BaseModel

from api.contract.responses.answers import FROZEN
from payments.account import Account, AccountStatus
from payments.ledger import TransactionType
from payments.money import format_amount
from store.read.ledger import Balance, Direction, StatementLine


class AccountResponse(BaseModel):
    """An account with its balances."""

    model_config = FROZEN

    id: UUID
    user_id: str
    currency: str
    status: AccountStatus
    balance: str
    balance_minor: int
    available: str
    available_minor: int
    pending: str
    pending_minor: int
    version: int
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, account: Account) -> Self:
        """The account as it is; `pending` is what is held."""
        currency = account.currency
        return cls(
            id=account.id,
            user_id=account.user_id,
            currency=currency,
            status=account.status,
            balance=format_amount(account.balance, currency),
            balance_minor=account.balance,
            available=format_amount(account.available, currency),
            available_minor=account.available,
            pending=format_amount(account.debits_pending, currency),
            pending_minor=account.debits_pending,
            version=account.version,
            created_at=account.created_at,
            updated_at=account.updated_at,
        )


class BalanceResponse(BaseModel):
    """What an account has, what of it may be spent, and what is held; now, or `as_of` then."""

    model_config = FROZEN

    account_id: UUID
    currency: str
    balance: str
    balance_minor: int
    available: str
    available_minor: int
    pending: str
    pending_minor: int
    as_of: datetime | None

    @classmethod
    def now(cls, account: Account) -> Self:
        """What the account has."""
        return cls._of(account.id, account.currency, account.balance, account.debits_pending, None)

    @classmethod
    def then(cls, account_id: UUID, balance: Balance, as_of: datetime) -> Self:
        """What an account had."""
        return cls._of(
            account_id, balance.currency, balance.posted_minor, balance.held_minor, as_of
        )

    @classmethod
    def _of(
        cls, account_id: UUID, currency: str, posted: int, held: int, as_of: datetime | None
    ) -> Self:
        return cls(
            account_id=account_id,
            currency=currency,
            balance=format_amount(posted, currency),
            balance_minor=posted,
            available=format_amount(posted - held, currency),
            available_minor=posted - held,
            pending=format_amount(held, currency),
            pending_minor=held,
            as_of=as_of,
        )


class TransactionResponse(BaseModel):
    """A line of an account's statement. `amount` is positive; `direction` says which way."""

    model_config = FROZEN

    id: UUID
    account_id: UUID
    transaction_type: TransactionType
    direction: Direction
    amount: str
    amount_minor: int
    currency: str
    balance_after: str
    balance_after_minor: int
    description: str | None
    payment_id: UUID | None
    refund_id: UUID | None
    created_at: datetime

    @classmethod
    def of(cls, line: StatementLine) -> Self:
        """The line as its owner sees it."""
        return cls(
            id=line.id,
            account_id=line.account_id,
            transaction_type=line.transaction_type,
            direction=line.direction,
            amount=format_amount(line.amount_minor, line.currency),
            amount_minor=line.amount_minor,
            currency=line.currency,
            balance_after=format_amount(line.balance_after_minor, line.currency),
            balance_after_minor=line.balance_after_minor,
            description=line.description,
            payment_id=line.payment_id,
            refund_id=line.refund_id,
            created_at=line.recorded_at,
        )
