"""A provider in a few lines: it takes money once a key, and answers truthfully or not at all.

A request may arrive long after its sender gave up. What a key led to it leads to for
ever, as Stripe and PayPal have it, so a decline is as final as a charge.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, assert_never

from payments.attempt import provider_key
from payments.outcome import Declined, Finding, NotFound, Operation, Outcome, Succeeded

if TYPE_CHECKING:
    from uuid import UUID

    from payments.attempt import Attempt

DECLINED = Declined("declined", "no")


@dataclass(frozen=True, slots=True)
class Flight:
    """An attempt whose request is on its way, or its answer."""

    attempt: Attempt
    amount_minor: int


@dataclass(slots=True)
class HonestProvider:
    """What it decided by key, and the money it holds, took and gave back by payment."""

    answers: dict[str, Outcome] = field(default_factory=dict)
    authorized: set[UUID] = field(default_factory=set)
    voided: set[UUID] = field(default_factory=set)
    charged: dict[UUID, list[int]] = field(default_factory=dict)
    refunded: dict[UUID, int] = field(default_factory=dict)

    def receive(self, flight: Flight, *, willing: bool) -> Outcome:
        """The request arrives: decided once, repeated ever after."""
        key = flight.attempt.provider_key
        if key not in self.answers:
            self.answers[key] = self._decide(flight, willing=willing)
        return self.answers[key]

    def find(self, operation: Operation, subject_id: UUID) -> Finding:
        """What became of an operation on a payment, or of a refund."""
        match operation:
            case Operation.CHARGE | Operation.CAPTURE:
                done = bool(self.charged.get(subject_id))
            case Operation.AUTHORIZE:
                done = subject_id in self.authorized - self.voided
            case Operation.VOID:
                done = subject_id in self.voided
            case Operation.REFUND:
                key = provider_key(Operation.REFUND, subject_id)
                done = isinstance(self.answers.get(key), Succeeded)
            case _:
                assert_never(operation)
        return Succeeded("found") if done else NotFound()

    def _decide(self, flight: Flight, *, willing: bool) -> Outcome:
        attempt, payment_id = flight.attempt, flight.attempt.payment_id
        charged = self.charged.setdefault(payment_id, [])
        match attempt.operation:
            case Operation.CHARGE if willing:
                charged.append(flight.amount_minor)
            case Operation.AUTHORIZE if willing:
                self.authorized.add(payment_id)
            case Operation.CAPTURE if willing and self._is_capturable(payment_id):
                charged.append(flight.amount_minor)
            case Operation.VOID if not charged:
                self.voided.add(payment_id)
            case Operation.REFUND if willing:
                back = self.refunded.get(payment_id, 0) + flight.amount_minor
                assert back <= sum(charged), "asked to give back more than was taken"
                self.refunded[payment_id] = back
            case _:
                return DECLINED
        return Succeeded(f"ref-{attempt.provider_key}")

    def _is_capturable(self, payment_id: UUID) -> bool:
        held = payment_id in self.authorized and payment_id not in self.voided
        return held and not self.charged[payment_id]
