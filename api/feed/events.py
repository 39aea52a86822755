"""An event as the feed tells it: the body of its webhook, and where it stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from topics.contracts.webhooks import body_of

if TYPE_CHECKING:
    from store.read.feed import FeedEvent, FeedFilters


def told(event: FeedEvent, cursor: str) -> bytes:
    """As JSON: what its webhook says, byte for byte, and more."""
    said = body_of(event.id, event.type, event.occurred_at, event.data.encode())
    more = {"payment_id": event.payment_id, "sequence": event.sequence, "cursor": cursor}
    return said[:-1] + b"," + orjson.dumps(more)[1:]


def passes(event: FeedEvent, filters: FeedFilters) -> bool:
    """Whether it is wanted; as the statement `events_behind` has it."""
    if filters.types is not None and event.type not in filters.types:
        return False
    if filters.payment_id is not None and event.payment_id != str(filters.payment_id):
        return False
    if filters.account_id is None:
        return True
    payment = orjson.loads(event.data)["payment"]
    accounts = (payment["source_account_id"], payment["destination_account_id"])
    return str(filters.account_id) in accounts
