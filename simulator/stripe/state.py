"""Everything Stripe has on record, with the indices its reads need.

Changed only by `put`, which journal entries drive, so that the state after a restart is the
state before it. What grows with payments lies in mappings that spill, in order of creation.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import orjson

from simulator.entries import StoredObject, reader
from simulator.indices import Index
from simulator.limits import RateLimit
from simulator.spill import Spill, Spilled
from simulator.stripe.records import (
    DECODERS,
    Customer,
    Dispute,
    Endpoint,
    Intent,
    PaymentMethod,
    Refund,
)

# Stripe lists events of thirty days; ten thousand bound the memory and fill many pages.
_EVENTS_MAX: Final = 10_000
# docs.stripe.com/rate-limits, of the Search API.
_SEARCHES_PER_SECOND: Final = 20
# The metadata key under which a client names its own refund.
REFUND_ID: Final = "refund_id"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to an object, with the object as it was then."""

    id: str
    type: str
    created: float
    subject: Intent | Refund | Dispute
    request_id: str
    key: str | None


class StripeState:
    """Intents, refunds, disputes, customers, endpoints and events of one Stripe account.

    `available` is what was captured less what was refunded or disputed, in Stripe's units.
    """

    def __init__(self, file: Spill) -> None:
        self.intents: Spilled[Intent] = Spilled(file, reader(Intent, DECODERS))
        self.refunds: Spilled[Refund] = Spilled(file, reader(Refund, DECODERS))
        self.disputes: Spilled[Dispute] = Spilled(file, reader(Dispute, DECODERS))
        self.methods: Spilled[PaymentMethod] = Spilled(file, reader(PaymentMethod, DECODERS))
        self.customers: dict[str, Customer] = {}
        self.endpoints: dict[str, Endpoint] = {}
        self.events: deque[Event] = deque(maxlen=_EVENTS_MAX)
        # No part of what is replayed: a restart has asked nothing yet.
        self.searches = RateLimit(_SEARCHES_PER_SECOND)
        self.available: Counter[str] = Counter()
        self.intent_of_charge: Spilled[str] = Spilled(file, orjson.loads)
        self._refunds_of_charge = Index(file)
        self._refunds_named = Index(file)
        self._disputes_of_intent = Index(file)
        self._by_metadata = Index(file)

    def put(self, record: StoredObject) -> None:
        """Take a record as the present state of its object."""
        match record:
            case Intent():
                self._put_intent(record)
            case Refund():
                self._put_refund(record)
            case Dispute():
                if self.disputes.put(record.id, record):
                    self._disputes_of_intent.add(record.payment_intent, record.id)
            case Customer():
                self.customers[record.id] = record
            case PaymentMethod():
                self.methods[record.id] = record
            case Endpoint():
                self.endpoints[record.id] = record
            case _:
                raise TypeError(f"no place for a {record.kind}")

    def refunds_of(self, charge_id: str) -> list[Refund]:
        """Refunds of a charge, newest first."""
        return [self.refunds[one] for one in self._refunds_of_charge.newest_first(charge_id)]

    def refund_named(self, name: str) -> Refund | None:
        """The refund of this id, or the newest whose metadata have it as the client's own."""
        newest = next(self._refunds_named.newest_first(name), name)
        return self.refunds.get(name) or self.refunds.get(newest)

    def open_dispute(self, intent_id: str) -> Dispute | None:
        """The oldest dispute of an intent that is not closed."""
        disputes = (self.disputes[one] for one in self._disputes_of_intent.newest_first(intent_id))
        return next((one for one in reversed([*disputes]) if one.closed_at is None), None)

    def intents_with(self, key: str, value: str) -> Iterator[Intent]:
        """The intents that carry this metadata now, newest first."""
        ids = self._by_metadata.newest_first(_name(key, value))
        return (one for one in map(self.intents.__getitem__, ids) if one.metadata.get(key) == value)

    def _put_intent(self, intent: Intent) -> None:
        before = self.intents.get(intent.id)
        self.intents[intent.id] = intent
        known, charges = ({}, ()) if before is None else (before.metadata, before.charges)
        for charge in intent.charges[len(charges) :]:
            self.intent_of_charge[charge.id] = intent.id
        for key, value in intent.metadata.items():
            if known.get(key) != value:
                self._by_metadata.add(_name(key, value), intent.id)
        if intent.charges:
            left = sum(one.amount_refundable for one in intent.charges)
            self.available[intent.currency] += left - sum(one.amount_refundable for one in charges)

    def _put_refund(self, refund: Refund) -> None:
        if self.refunds.put(refund.id, refund):
            self._refunds_of_charge.add(refund.charge, refund.id)
            if (name := refund.metadata.get(REFUND_ID)) is not None:
                self._refunds_named.add(name, refund.id)


def _name(key: str, value: str) -> str:
    """One name of two, which no other two have."""
    return f"{len(key)} {key} {value}"
