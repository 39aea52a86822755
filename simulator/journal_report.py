"""What the simulator testifies about each payment: how often and how much it was moved.

Folded from the journal's entries and from nothing else, so that it is the same after a kill
as before. Amounts are in ISO minor units.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from simulator.entries import Entry


@dataclass(slots=True)
class PaymentReport:
    """One payment at one vendor. `references` are the intents or captures charged."""

    vendor: str
    payment_id: str
    currency: str | None = None
    authorizations: int = 0
    charges: int = 0
    voids: int = 0
    refunds: int = 0
    declines: int = 0
    charged_minor: int = 0
    refunded_minor: int = 0
    references: tuple[str, ...] = ()

    def apply(self, entry: Entry) -> None:
        """Count an effect or a decline."""
        amount = entry.amount_minor or 0
        self.currency = entry.currency or self.currency
        match entry.effect:
            case "charged" | "captured":
                self.charges += 1
                self.charged_minor += amount
                self.references += (entry.reference or "",)
            case "authorized":
                self.authorizations += 1
            case "voided":
                self.voids += 1
            case "refunded":
                self.refunds += 1
                self.refunded_minor += amount
            case _:
                self.declines += entry.outcome.startswith("declined:") and not entry.replayed


@dataclass(slots=True)
class JournalReport:
    """Everything the journal shows, by payment and in total."""

    payments: dict[tuple[str, str], PaymentReport] = field(default_factory=dict)
    requests: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    moved: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    effects: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    entries: int = 0

    def apply(self, entry: Entry) -> None:
        """Fold one entry in."""
        self.entries += 1
        outcome = "replayed" if entry.replayed else entry.outcome
        self.requests[entry.vendor, entry.operation, outcome] += 1
        if entry.fault is not None:
            self.faults[entry.fault] += 1
        if entry.effect is not None:
            self.effects[entry.vendor, entry.effect, entry.currency or ""] += 1
            self.moved[entry.vendor, entry.effect, entry.currency or ""] += entry.amount_minor or 0
        if entry.payment_id is not None and (entry.effect or entry.outcome != "ok"):
            key = (entry.vendor, entry.payment_id)
            payment = self.payments.get(key)
            if payment is None:
                payment = self.payments[key] = PaymentReport(*key)
            payment.apply(entry)

    def charged_more_than_once(self) -> list[PaymentReport]:
        """Payments that a correct client would never have caused."""
        return [payment for payment in self.payments.values() if payment.charges > 1]
