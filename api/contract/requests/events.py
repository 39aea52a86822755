"""What clients ask of the feed of events: from where on, and which of them."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from api.contract.requests.fields import PUBLIC_TYPES, Id, refused
from api.contract.requests.queries import PageLimit
from api.feed.positions import TOKEN_LENGTH
from store.read.feed import FeedFilters

LAST_EVENT_ID: Final = "Last-Event-ID"

_STRICT: Final = ConfigDict(extra="forbid", strict=True, frozen=True)
_TOKEN: Final = re.compile(rf"[A-Za-z0-9_-]{{{TOKEN_LENGTH}}}")
_ANY_TYPE: Final = "|".join(map(re.escape, PUBLIC_TYPES))
_LIMIT_DEFAULT: Final = 20


def _types(value: object) -> tuple[str, ...]:
    asked = value.split(",") if isinstance(value, str) else []
    if not asked or not set(asked) <= set(PUBLIC_TYPES):
        raise refused("types", f"must be some of {', '.join(PUBLIC_TYPES)}, with commas between")
    return tuple(dict.fromkeys(asked))


def _token(value: object) -> object:
    if not (isinstance(value, str) and _TOKEN.fullmatch(value)):
        raise refused("position", "is none that was given")
    return value


Types = Annotated[
    tuple[str, ...],
    BeforeValidator(_types),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": f"^({_ANY_TYPE})(,({_ANY_TYPE}))*$",
            "description": "Only these, with commas between.",
            "examples": ["payment.completed,payment.failed"],
        }
    ),
]
Position = Annotated[
    str,
    BeforeValidator(_token),
    WithJsonSchema({"type": "string", "pattern": f"^{_TOKEN.pattern}$"}),
]


class EventsOf(BaseModel):
    """Which events, and from where on; all filters apply together."""

    model_config = _STRICT

    cursor: (
        Annotated[
            Position,
            Field(
                description="Events behind this: a `next_cursor`, an event's `cursor` or its id "
                "in the stream, or a `Stream-Position`. Left out: all that are kept."
            ),
        ]
        | None
    ) = None
    types: Types | None = None
    account_id: Annotated[Id | None, Field(description="Of payments from or to it.")] = None
    payment_id: Annotated[Id | None, Field(description="Of this payment.")] = None

    def filters(self) -> FeedFilters:
        """Which."""
        return FeedFilters(self.types, self.account_id, self.payment_id)


class EventsQuery(EventsOf):
    """A page of events."""

    limit: PageLimit = _LIMIT_DEFAULT
    after_position: (
        Annotated[
            Position,
            Field(
                description="The `Stream-Position` of an answer: waits, for up to 5 seconds, until "
                "the feed has all of it."
            ),
        ]
        | None
    ) = None


class EventStreamQuery(EventsOf):
    """A stream of events."""
