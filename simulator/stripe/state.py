"""Everything Stripe has on record, with the indices its reads need.

Changed only by `put`, which journal entries drive, so that the state after a restart is the
state before it.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from simulator.entries import StoredObject
from simulator.stripe import cards
from simulator.stripe.records import Customer, Dispute, Endpoint, Intent, PaymentMethod, Refund

# Stripe lists events of thirty days; ten thousand bound the memory and fill many pages.
_EVENTS_MAX: Final = 10_000


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to an object, with the object as it was then."""

    id: str
    type: str
    created: float
    subject: Intent | Refund | Dispute
    request_id: str
    key: str | None


class IdIndex:
    """Ids in creation order, which is their own order."""

    def __init__(self) -> None:
        self._ids: list[str] = []

    def add(self, object_id: str) -> None:
        """Put an id in its place, nearly always the last."""
        if not self._ids or self._ids[-1] < object_id:
            self._ids.append(object_id)
        else:
            insort(self._ids, object_id)

    def newest_first(self, after: str | None) -> Iterator[str]:
        """Ids older than `after`, or all."""
        end = len(self._ids) if after is None else bisect_left(self._ids, after)
        return (self._ids[index] for index in range(end - 1, -1, -1))

    def oldest_first(self, before: str) -> Iterator[str]:
        """Ids newer than `before`, the nearest first."""
        start = bisect_left(self._ids, before) + 1
        return (self._ids[index] for index in range(start, len(self._ids)))


class StripeState:
    """Intents, refunds, disputes, endpoints and events of one Stripe account."""

    def __init__(self) -> None:
        self.intents: dict[str, Intent] = {}
        self.refunds: dict[str, Refund] = {}
        self.disputes: dict[str, Dispute] = {}
        self.customers: dict[str, Customer] = {}
        self.payment_methods: dict[str, PaymentMethod] = {}
        self.endpoints: dict[str, Endpoint] = {}
        self.events: deque[Event] = deque(maxlen=_EVENTS_MAX)
        self.intent_ids = IdIndex()
        self.refund_ids = IdIndex()
        self.dispute_ids = IdIndex()
        self.intent_of_charge: dict[str, str] = {}
        self._refunds_of_charge: dict[str, list[str]] = {}
        # One id is the rule: a list for each would be a third of an intent's memory.
        self._by_metadata: dict[str, dict[str, str | list[str]]] = {}

    def put(self, record: StoredObject) -> None:
        """Take a record as the present state of its object."""
        match record:
            case Intent():
                self._put_intent(record)
            case Refund():
                self._put_refund(record)
            case Dispute():
                if record.id not in self.disputes:
                    self.dispute_ids.add(record.id)
                self.disputes[record.id] = record
            case Customer():
                self.customers[record.id] = record
            case PaymentMethod():
                self.payment_methods[record.id] = record
            case Endpoint():
                self.endpoints[record.id] = record
            case _:
                raise TypeError(f"no place for a {record.kind}")

    def card_of(self, method_id: str | None) -> cards.Card | None:
        """The test card behind a payment method, None for one that nobody made."""
        made = self.payment_methods.get(method_id or "")
        return cards.find(made.like if made else method_id or "")

    def refunds_of(self, charge_id: str) -> list[Refund]:
        """Refunds of a charge, newest first."""
        ids = self._refunds_of_charge.get(charge_id, [])
        return [self.refunds[refund_id] for refund_id in reversed(ids)]

    def refund_named(self, name: str) -> Refund | None:
        """The refund of this id, or the newest whose metadata have it as the client's own."""
        if name in self.refunds:
            return self.refunds[name]
        newest = (self.refunds[one] for one in self.refund_ids.newest_first(None))
        return next((one for one in newest if one.metadata.get("refund_id") == name), None)

    def intents_with(self, key: str, value: str) -> list[str]:
        """Ids of the intents that carry this metadata now, oldest first."""
        indexed = self._by_metadata.get(key, {}).get(value, [])
        candidates = [indexed] if isinstance(indexed, str) else indexed
        return [
            candidate
            for candidate in candidates
            if self.intents[candidate].metadata.get(key) == value
        ]

    def _put_intent(self, intent: Intent) -> None:
        before = self.intents.get(intent.id)
        self.intents[intent.id] = intent
        if before is None:
            self.intent_ids.add(intent.id)
        for charge in intent.charges:
            self.intent_of_charge[charge.id] = intent.id
        for key, value in intent.metadata.items():
            if before is None or before.metadata.get(key) != value:
                self._index(key, value, intent.id)

    def _index(self, key: str, value: str, intent_id: str) -> None:
        indexed = self._by_metadata.setdefault(key, {})
        match indexed.get(value):
            case None:
                indexed[value] = intent_id
            case str() as other:
                indexed[value] = [other, intent_id]
            case list() as others:
                others.append(intent_id)

    def _put_refund(self, refund: Refund) -> None:
        if refund.id not in self.refunds:
            self.refund_ids.add(refund.id)
            self._refunds_of_charge.setdefault(refund.charge, []).append(refund.id)
        self.refunds[refund.id] = refund
