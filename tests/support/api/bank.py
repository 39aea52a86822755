"""A bank in plain Python: two dicts of whole minor units, and what each payment is about.

This is what the API is compared with, so it knows nothing of ledgers, commands or versions. A
question is answered with the code of the refusal the API owes, or None where it must accept.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

RETRIES_MAX: Final = 1
INQUIRIES_MAX: Final = 2
DIGITS: Final = {"USD": 2, "JPY": 0, "KWD": 3}
# What the providers take of these currencies.
_NOT_TAKEN: Final = {("paypal", "KWD")}
_LEAST: Final[Mapping[tuple[str | None, str], int]] = {("stripe", "USD"): 50, ("stripe", "JPY"): 50}
_STEP: Final[Mapping[tuple[str | None, str], int]] = {("stripe", "KWD"): 10}


@dataclass(slots=True, eq=False)
class Errand:
    """What a provider is owed a call for (`owed`, of `asking`), and how far it has got."""

    id: str = ""
    status: str = "pending"
    owed: str | None = None
    asking: int = 0
    attempts: int = 0
    retries: int = 0
    inquiries: int = 0

    def owe(self, operation: str, amount: int) -> None:
        self.owed, self.asking, self.retries, self.inquiries = operation, amount, 0, 0


@dataclass(slots=True, eq=False, kw_only=True)
class Payment(Errand):
    source: str
    destination: str | None = None
    provider: str | None = None
    amount: int = 0
    captured: int = 0
    refunded: int = 0
    promised: int = 0

    @property
    def refundable(self) -> int:
        return self.captured - self.refunded - self.promised


@dataclass(slots=True, eq=False, kw_only=True)
class Refund(Errand):
    payment: Payment


@dataclass(slots=True)
class Bank:
    """One tenant's accounts and payments."""

    currency: dict[str, str] = field(default_factory=dict)
    balance: dict[str, int] = field(default_factory=dict)
    held: dict[str, int] = field(default_factory=dict)
    payments: list[Payment] = field(default_factory=list)
    refunds: list[Refund] = field(default_factory=list)

    def open(self, account: str, currency: str, balance: int) -> None:
        self.currency[account], self.balance[account] = currency, balance
        self.held[account] = 0

    def available(self, account: str) -> int:
        return self.balance[account] - self.held[account]

    # What is refused

    def refuses_payment(self, asked: Payment, currency: str) -> str | None:
        source, destination = asked.source, asked.destination
        if self.currency[source] != currency:
            return "currency_mismatch"
        if destination == source:
            return "same_account"
        if destination and self.currency[destination] != currency:
            return "currency_mismatch"
        if (asked.provider, currency) in _NOT_TAKEN:
            return "currency_not_supported"
        if asked.amount < _LEAST.get((asked.provider, currency), 0):
            return "amount_not_supported"
        if asked.amount % _STEP.get((asked.provider, currency), 1):
            return "amount_not_supported"
        return "insufficient_funds" if asked.amount > self.available(source) else None

    def refuses_cancel(self, payment: Payment) -> str | None:
        unasked = payment.status == "pending" and not payment.attempts
        held = payment.status == "authorized" and payment.owed != "capture"
        return None if unasked or held else "payment_not_cancellable"

    def refuses_capture(self, payment: Payment, amount: int) -> str | None:
        if payment.status != "authorized" or payment.owed:
            return "payment_not_capturable"
        return "capture_exceeds_authorization" if amount > payment.amount else None

    def refuses_refund(self, payment: Payment, amount: int) -> str | None:
        if not payment.captured:
            return "payment_not_refundable"
        if not 0 < amount <= payment.refundable:
            return "refund_exceeds_payment"
        if amount % _STEP.get((payment.provider, self.currency[payment.source]), 1):
            return "amount_not_supported"
        giver = payment.destination
        return "insufficient_funds" if giver and amount > self.available(giver) else None

    # What is done

    def pay(self, payment: Payment) -> None:
        self.payments.append(payment)
        if payment.destination:
            payment.captured, payment.status = payment.amount, "completed"
            self.move(payment.source, payment.destination, payment.amount)
        else:
            self.held[payment.source] += payment.amount

    def move(self, source: str, destination: str, amount: int) -> None:
        self.balance[source] -= amount
        self.balance[destination] += amount

    def cancel(self, payment: Payment) -> None:
        """What its provider holds is held here until that has let go."""
        if payment.status == "authorized":
            if not payment.owed:
                payment.owe("void", payment.amount)
            return
        self.held[payment.source] -= payment.amount
        payment.owed, payment.status = None, "cancelled"

    def refund(self, refund: Refund) -> None:
        self.refunds.append(refund)
        payment = refund.payment
        payment.promised += refund.asking
        if payment.destination:
            self.move(payment.destination, payment.source, refund.asking)
            self._returned(refund)

    # What providers answer

    def hear(self, errand: Errand, answer: str) -> None:
        """Only a certain answer moves or frees money; of any other the provider is asked again."""
        if answer == "succeeded":
            self._succeeded(errand)
        elif answer == "deferred":
            pass
        elif errand.owed == "void":
            self._not_voided(errand, answer)
        elif answer == "declined":
            self._failed(errand)
        elif errand.status == "unknown" and errand.inquiries >= INQUIRIES_MAX:
            errand.status = "review"
        elif errand.status in {"unknown", "review"}:
            errand.inquiries += 1
        elif answer == "unknown":
            errand.status, errand.inquiries = "unknown", errand.inquiries + 1
        elif errand.retries < RETRIES_MAX:
            errand.retries += 1
        else:
            self._failed(errand)

    def _not_voided(self, errand: Errand, answer: str) -> None:
        """It is asked for until it is made, or a person looks."""
        if answer == "declined" or errand.inquiries >= INQUIRIES_MAX:
            errand.status = "review"
        errand.inquiries += 1

    def _succeeded(self, errand: Errand) -> None:
        operation, errand.owed = errand.owed, None
        if isinstance(errand, Refund):
            self.balance[errand.payment.source] += errand.asking
            self._returned(errand)
        elif isinstance(errand, Payment) and operation in {"charge", "capture"}:
            self.held[errand.source] -= errand.amount
            self.balance[errand.source] -= errand.asking
            errand.captured, errand.status = errand.asking, "completed"
        elif operation == "authorize":
            errand.status = "authorized"
        elif isinstance(errand, Payment):
            self.held[errand.source] -= errand.amount
            errand.status = "cancelled"

    def _failed(self, errand: Errand) -> None:
        operation, errand.owed = errand.owed, None
        if isinstance(errand, Refund):
            errand.payment.promised -= errand.asking
            errand.status = "failed"
        elif operation == "capture":
            errand.status = "authorized"  # the client may ask again
        elif isinstance(errand, Payment):
            self.held[errand.source] -= errand.amount
            errand.status = "failed"

    def _returned(self, refund: Refund) -> None:
        payment, refund.status = refund.payment, "completed"
        payment.promised -= refund.asking
        payment.refunded += refund.asking
        whole = payment.refunded == payment.captured
        payment.status = "refunded" if whole else "partially_refunded"


def decimal(minor: int, currency: str) -> str:
    """The amount as a client writes and reads it."""
    return str(Decimal(minor).scaleb(-DIGITS[currency]))
