"""What an account must be for money to move through it, in the order in which it is told."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from payments.account import CHANGES_MAX, TURNOVER_MINOR_MAX, Account, AccountStatus
from payments.decision import RefusalCode, Refused

if TYPE_CHECKING:
    from payments.money import Money


class Side(Enum):
    """Which side of a transfer an account is on."""

    DEBIT = "debit"
    CREDIT = "credit"


def unusable(account: Account, amount: Money) -> Refused | None:
    """Why no such amount may move through the account: its status, or its currency."""
    if account.status is not AccountStatus.ACTIVE:
        return Refused(
            RefusalCode.ACCOUNT_NOT_ACTIVE, f"account {account.id} is {account.status.value}"
        )
    if account.currency != amount.currency:
        return Refused(
            RefusalCode.CURRENCY_MISMATCH,
            f"account {account.id} is in {account.currency}, not {amount.currency}",
        )
    return None


def lacks_funds(account: Account, amount: Money) -> Refused | None:
    """Why the account cannot pay the amount now."""
    if account.available >= amount.amount_minor:
        return None
    return Refused(
        RefusalCode.INSUFFICIENT_FUNDS, f"account {account.id} has less than {amount} available"
    )


def exceeds_turnover(account: Account, amount: Money, *, by: Side) -> Refused | None:
    """Why the account has moved too much to move more, or too often.

    Not asked of what gives money back: whatever was accepted can be returned.
    """
    is_debit = by is Side.DEBIT
    moved = account.debits_posted + account.debits_pending if is_debit else account.credits_posted
    if account.version >= CHANGES_MAX:
        return Refused(
            RefusalCode.ACCOUNT_TURNOVER_EXCEEDED,
            f"account {account.id} has changed as often as an account can: open another",
        )
    if moved + amount.amount_minor <= TURNOVER_MINOR_MAX:
        return None
    return Refused(
        RefusalCode.ACCOUNT_TURNOVER_EXCEEDED,
        f"account {account.id} has moved too much to move {amount} more: open another",
    )
