"""What the simulator testifies about each payment: how often and how much it was moved.

Folded from the journal's entries and from nothing else, so that it is the same after a kill
as before. Amounts are in ISO minor units.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Final

import orjson

from simulator.entries import DisputeFact, Entry
from simulator.spill import Spill, Spilled


@dataclass(frozen=True, slots=True)
class RefundReport:
    """A refund by the vendor's id, and by the client's if it had one; `failed`: it came back."""

    reference: str
    refund_id: str | None
    amount_minor: int
    failed: bool = False


@dataclass(frozen=True, slots=True)
class ReversalReport:
    """Money of a capture that the vendor took back from the merchant."""

    reference: str
    amount_minor: int


@dataclass(slots=True)
class PaymentReport:
    """One payment at one vendor. `references` are the intents or captures charged.

    `held_minor` is reserved now, `charged_minor` was taken in all, `refunded_minor` was given
    back and has not come back, `withdrawn_minor` the vendor has from the merchant for disputes,
    `kept_minor` is what the merchant has after all that.
    """

    vendor: str
    payment_id: str
    currency: str | None = None
    authorizations: int = 0
    charges: int = 0
    voids: int = 0
    refunds: int = 0
    declines: int = 0
    authorized_minor: int = 0
    held_minor: int = 0
    charged_minor: int = 0
    voided_minor: int = 0
    refunded_minor: int = 0
    withdrawn_minor: int = 0
    reversed_minor: int = 0
    kept_minor: int = 0
    references: tuple[str, ...] = ()
    refund_details: tuple[RefundReport, ...] = ()
    disputes: tuple[DisputeFact, ...] = ()
    reversals: tuple[ReversalReport, ...] = ()

    def apply(self, entry: Entry) -> None:
        """Count an effect, a dispute or a decline."""
        self.currency = entry.currency or self.currency
        self._apply_effect(entry, entry.amount_minor or 0, entry.reference or "")
        if entry.dispute is not None:
            known = {one.reference: one for one in self.disputes}
            self.disputes = (*(known | {entry.dispute.reference: entry.dispute}).values(),)
            self.withdrawn_minor = sum(one.withdrawn_minor for one in self.disputes)
        gone = self.refunded_minor + self.withdrawn_minor + self.reversed_minor
        self.kept_minor = self.charged_minor - gone

    def _apply_effect(self, entry: Entry, amount: int, reference: str) -> None:
        match entry.effect:
            case "charged" | "captured":
                self.charges += 1
                self.charged_minor += amount
                self.references += (reference,)
                if entry.effect == "captured":
                    self.held_minor -= amount + entry.released_minor
            case "authorized":
                self.authorizations += 1
                self.authorized_minor += amount
                self.held_minor += amount
            case "voided":
                self.voids += 1
                self.voided_minor += amount
                self.held_minor -= amount
            case "refunded":
                self.refunds += 1
                self.refunded_minor += amount
                self.refund_details += (RefundReport(reference, entry.refund_id, amount),)
            case "refund_failed":
                self.refunded_minor -= amount
                self.refund_details = tuple(
                    replace(one, failed=True) if one.reference == reference else one
                    for one in self.refund_details
                )
            case "reversed":
                self.reversed_minor += amount
                self.reversals += (ReversalReport(reference, amount),)
            case _:
                self.declines += entry.outcome.startswith("declined:") and not entry.replayed

    @property
    def is_charged_twice(self) -> bool:
        """Whether it was taken more often than parts of one hold account for."""
        is_in_parts = self.authorizations == 1 and self.charged_minor <= self.authorized_minor
        return self.charges > 1 and not is_in_parts


class JournalReport:
    """Everything the journal shows, by payment and in total."""

    def __init__(self, file: Spill) -> None:
        self.payments: Spilled[PaymentReport] = Spilled(file, _payment_report)
        self.requests: Counter[tuple[str, str, str]] = Counter()
        self.faults: Counter[str] = Counter()
        self.moved: Counter[tuple[str, str, str]] = Counter()
        self.effects: Counter[tuple[str, str, str]] = Counter()
        self.entries = 0
        # Of these there are none where clients are correct.
        self._charged_twice: set[str] = set()
        self._over_refunded: set[str] = set()

    def payment(self, vendor: str, payment_id: str) -> PaymentReport | None:
        """The report on one payment at a vendor, if anything happened there."""
        return self.payments.get(f"{vendor} {payment_id}")

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
        says_something = entry.effect or entry.dispute or entry.outcome != "ok"
        if entry.payment_id is not None and says_something:
            self._apply(f"{entry.vendor} {entry.payment_id}", entry, entry.payment_id)

    def charged_more_than_once(self) -> list[PaymentReport]:
        """Payments that a correct client would never have caused."""
        return self._in_order(self._charged_twice)

    def refunded_more_than_charged(self) -> list[PaymentReport]:
        """Payments of which more was given back than was taken."""
        return self._in_order(self._over_refunded)

    def _apply(self, key: str, entry: Entry, payment_id: str) -> None:
        payment = self.payments.get(key) or PaymentReport(entry.vendor, payment_id)
        payment.apply(entry)
        self.payments[key] = payment
        if payment.is_charged_twice:
            self._charged_twice.add(key)
        else:
            self._charged_twice.discard(key)
        if payment.refunded_minor > payment.charged_minor:
            self._over_refunded.add(key)
        else:
            self._over_refunded.discard(key)

    def _in_order(self, keys: Collection[str]) -> list[PaymentReport]:
        return [self.payments[key] for key in sorted(keys, key=self.payments.place)]


def _payment_report(written: bytes) -> PaymentReport:
    fields = orjson.loads(written)
    fields["references"] = tuple(fields["references"])
    for name, kind in _DETAILS.items():
        fields[name] = tuple(kind(**one) for one in fields[name])
    return PaymentReport(**fields)


_DETAILS: Final = {
    "refund_details": RefundReport,
    "disputes": DisputeFact,
    "reversals": ReversalReport,
}
