"""A provider in a few lines: it takes money once a key, and answers truthfully or not at all.

A request may arrive long after its sender gave up. What a key led to it leads to for
ever, as Stripe and PayPal have it, so a decline is as final as a charge. Beside the requests
somebody sits at its dashboard, and payers have their banks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from payments.money import Money
from payments.outcome import CapturedElsewhere, Declined, Operation, Outcome, Succeeded
from payments.record import replace
from payments.standing import (
    DisputeKind,
    DisputeState,
    FoundCapture,
    FoundDispute,
    FoundRefund,
    FoundState,
    Standing,
)

if TYPE_CHECKING:
    from uuid import UUID

    from payments.attempt import Attempt

DECLINED = Declined("declined", "no")
RELEASED = Declined("canceled", "nothing is held any more", is_released=True)


@dataclass(frozen=True, slots=True)
class Flight:
    """An attempt whose request is on its way, or its answer."""

    attempt: Attempt
    amount_minor: int


@dataclass(slots=True)
class Held:
    """What it has of one payment, in US cents; `is_held` while it may be captured."""

    authorized_minor: int = 0
    is_held: bool = False
    captures: list[FoundCapture] = field(default_factory=list)
    refunds: list[FoundRefund] = field(default_factory=list)
    disputes: list[FoundDispute] = field(default_factory=list)

    @property
    def captured_minor(self) -> int:
        return sum(each.amount.amount_minor for each in self.captures)

    @property
    def refunded_minor(self) -> int:
        made = (each for each in self.refunds if each.state is FoundState.SUCCEEDED)
        return sum(each.amount.amount_minor for each in made)


@dataclass(slots=True)
class HonestProvider:
    """What it decided by key, and what it has by payment."""

    answers: dict[str, Outcome] = field(default_factory=dict)
    payments: dict[UUID, Held] = field(default_factory=dict)
    _names: int = 0

    def receive(self, flight: Flight, *, willing: bool) -> Outcome:
        """The request arrives: decided once, repeated ever after."""
        key = flight.attempt.provider_key
        if key not in self.answers:
            self.answers[key] = self._decide(flight, willing=willing)
        return self.answers[key]

    def look(self, payment_id: UUID) -> Standing:
        """All that it has of a payment."""
        has = self._of(payment_id)
        return Standing(
            payment_id=payment_id,
            is_held=has.is_held,
            captures=(*has.captures,),
            refunds=(*has.refunds,),
            disputes=(*has.disputes,),
        )

    # The dashboard, and the banks

    def capture_by_hand(self, payment_id: UUID, amount_minor: int) -> None:
        """So much of what is held, or all of it; the rest is let go."""
        has = self._of(payment_id)
        if has.is_held:
            self._capture(has, min(amount_minor, has.authorized_minor), self._name("hand"))

    def void_by_hand(self, payment_id: UUID) -> None:
        self._of(payment_id).is_held = False

    def refund_by_hand(self, payment_id: UUID, amount_minor: int) -> None:
        """So much of what is left, if there is that much."""
        has = self._of(payment_id)
        if has.refunded_minor + amount_minor <= has.captured_minor:
            self._refund(has, amount_minor, self._name("hand"), None)

    def bounce(self, payment_id: UUID) -> None:
        """The bank of the payer sends the last refund back."""
        refunds = self._of(payment_id).refunds
        if refunds:
            refunds[-1] = replace(refunds[-1], state=FoundState.FAILED)

    def dispute(self, payment_id: UUID, state: DisputeState) -> None:
        """The payer disputes all of it, or a dispute that there is changes."""
        has = self._of(payment_id)
        if not has.captures:
            return
        name = has.disputes[0].reference if has.disputes else self._name("dispute")
        is_withdrawn = state is not DisputeState.WON
        amount = Money(has.captured_minor, "USD")
        dispute = FoundDispute(name, DisputeKind.DISPUTE, amount, state, is_withdrawn)
        has.disputes[:1] = [dispute]

    # How

    def _decide(self, flight: Flight, *, willing: bool) -> Outcome:
        attempt, key = flight.attempt, flight.attempt.provider_key
        has, wanted = self._of(attempt.payment_id), flight.amount_minor
        match attempt.operation:
            case Operation.CHARGE if willing:
                return self._capture(has, wanted, key)
            case Operation.AUTHORIZE if willing:
                has.authorized_minor, has.is_held = wanted, True
                return Succeeded(key)
            case Operation.CAPTURE | Operation.VOID if has.captures:
                return self._was_captured(has, attempt.operation, wanted)
            case Operation.VOID:
                has.is_held = False
                return Succeeded(key)
            case Operation.CAPTURE if not has.is_held:
                return RELEASED
            case Operation.CAPTURE if willing:
                return self._capture(has, wanted, key)
            case Operation.REFUND if willing and has.refunded_minor + wanted <= has.captured_minor:
                return self._refund(has, wanted, key, attempt.refund_id)
            case _:
                return DECLINED

    def _was_captured(self, has: Held, operation: Operation, wanted: int) -> Outcome:
        reference = has.captures[0].reference
        if operation is Operation.CAPTURE and has.captured_minor == wanted:
            return Succeeded(reference)
        return CapturedElsewhere(reference, Money(has.captured_minor, "USD"))

    def _capture(self, has: Held, amount_minor: int, name: str) -> Succeeded:
        has.captures.append(FoundCapture(name, Money(amount_minor, "USD")))
        has.is_held = False
        return Succeeded(name)

    def _refund(self, has: Held, amount_minor: int, name: str, refund_id: UUID | None) -> Succeeded:
        amount = Money(amount_minor, "USD")
        has.refunds.append(FoundRefund(name, amount, FoundState.SUCCEEDED, refund_id))
        return Succeeded(name)

    def _name(self, what: str) -> str:
        self._names += 1
        return f"{what}-{self._names}"

    def _of(self, payment_id: UUID) -> Held:
        return self.payments.setdefault(payment_id, Held())
