"""What Stripe's decisions about an intent have in common: what they need, how they are told."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from simulator.faults import Faults
from simulator.identifiers import Identifiers
from simulator.stripe import currencies, failures
from simulator.stripe.records import Intent
from simulator.stripe.state import StripeState
from simulator.vendor import Decision

# The metadata key under which a client names its own payment; only for the journal.
PAYMENT_ID: Final = "payment_id"


@dataclass(frozen=True, slots=True)
class StripeContext:
    """What a decision needs beside its form: the state, ids, and the time in Unix seconds."""

    state: StripeState
    ids: Identifiers
    at: float
    faults: Faults


def found(state: StripeState, intent_id: str, param: str = "intent") -> Intent:
    """The intent of a path or parameter, or Stripe's 404."""
    intent = state.intents.get(intent_id)
    if intent is None:
        raise failures.no_such("payment_intent", intent_id, param)
    return intent


def changed(intent: Intent, events: tuple[str, ...], outcome: str = "ok") -> Decision:
    """The intent is another; no money was moved."""
    return Decision(
        status=200,
        outcome=outcome,
        writes=(intent,),
        keeps_key=True,
        payment_id=intent.metadata.get(PAYMENT_ID),
        reference=intent.id,
        events=events,
    )


def moved(
    intent: Intent, effect: str, amount: int, events: tuple[str, ...], released: int = 0
) -> Decision:
    """Money was reserved, taken or let go; amounts are in Stripe's units."""
    return Decision(
        status=200,
        outcome="ok",
        writes=(intent,),
        keeps_key=True,
        effect=effect,
        payment_id=intent.metadata.get(PAYMENT_ID),
        amount_minor=currencies.iso_minor(amount, intent.currency),
        released_minor=currencies.iso_minor(released, intent.currency),
        currency=intent.currency.upper(),
        reference=intent.id,
        events=events,
    )


def wrong_state(intent: Intent, verb: str, allowed: Collection[str], said: str = "") -> Decision:
    """The intent is not in a state in which this can be done to it."""
    code = "payment_intent_unexpected_state"
    message = (
        f"{said or f'You cannot {verb} this PaymentIntent'} because it has a status of "
        f"{intent.status}. Only a PaymentIntent with one of the following statuses may be "
        f"{_PARTICIPLES[verb]}: {', '.join(allowed)}."
    )
    failure = failures.state(message, code)
    return Decision(
        status=failure.status,
        outcome=code,
        writes=(intent,),
        error=failure,
        keeps_key=True,
        payment_id=intent.metadata.get(PAYMENT_ID),
        reference=intent.id,
    )


_PARTICIPLES: Final = {"confirm": "confirmed", "capture": "captured", "cancel": "canceled"}
