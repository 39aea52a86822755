"""The feed of events. What an event says is the topic's own contract, as webhooks have it."""

# The annotations are what pydantic reads at run time.
from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, Field

from api.contract.responses.answers import FROZEN
from topics.contracts.payloads import PaymentEventData


class FeedEventResponse(BaseModel):
    """An event: the body of its webhook, with its place in the feed.

    `sequence` counts the events of its payment 1, 2, 3 ... without a gap.
    """

    model_config = FROZEN

    id: UUID
    type: str
    timestamp: datetime
    data: PaymentEventData
    payment_id: UUID
    sequence: int
    cursor: str = Field(description="Asks for what comes behind this event.")


class EventsResponse(BaseModel):
    """Events, the oldest first. `next_cursor` asks for what comes behind them, now or later.

    A page may have fewer than its limit, even none, while `has_more` is true: it gives up after so
    many that its filters leave out. Where `has_more` is false, that is all there is by now.
    """

    model_config = FROZEN

    data: list[FeedEventResponse]
    next_cursor: str
    has_more: bool
