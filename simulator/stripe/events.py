"""What an entry tells the world: Stripe's events, each with its object as it was then.

Source: docs.stripe.com/api/events/types.
"""

from __future__ import annotations

from collections.abc import Iterator

from simulator.entries import Entry, StoredObject
from simulator.stripe.records import Dispute, Intent, Refund
from simulator.stripe.state import Event


def events_of(entry: Entry) -> Iterator[Event]:
    """The events of an entry; their ids are made of its request id, so they never change."""
    stem = f"evt_3{entry.request_id.removeprefix('req_')}"
    for index, kind in enumerate(entry.events):
        yield Event(
            id=f"{stem}{index}",
            type=kind,
            created=entry.at,
            subject=_subject(kind, entry.writes),
            request_id=entry.request_id,
            key=entry.key,
        )


def _subject(kind: str, writes: tuple[StoredObject, ...]) -> Intent | Refund | Dispute:
    """The record an event of this type shows: the intent, but where it is about its own."""
    wanted: type[Intent | Refund | Dispute] = Intent
    if kind.startswith(("refund.", "charge.refund.")):
        wanted = Refund
    elif kind.startswith("charge.dispute."):
        wanted = Dispute
    for record in writes:
        if isinstance(record, wanted):
            return record
    raise AssertionError(f"an entry with {kind} wrote its subject")
