"""How an answer is written, and the page of a list that every list is answered with."""

# The annotations are what pydantic reads at run time.
from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Final, Generic, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field

from store.write.group_commit import Answer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

JSON: Final = {"Content-Type": "application/json"}
FROZEN: Final = ConfigDict(frozen=True)

_NEXT: Final = (
    "Asks for the next page; null ends the list. A page may have fewer rows than its limit, even"
    " none, and a next one: it gives up after so many that its filters leave out."
)

RowT = TypeVar("RowT", bound=BaseModel)


def json_answer(status: int, body: BaseModel, headers: Mapping[str, str] | None = None) -> Answer:
    """An answer whose body is a model's JSON."""
    rendered = body.__pydantic_serializer__.to_json(body)
    return Answer(status, {**JSON, **headers} if headers else JSON, rendered)


class Page(BaseModel, Generic[RowT]):
    """A page of a list, newest first."""

    model_config = FROZEN

    data: list[RowT]
    next_cursor: Annotated[str | None, Field(description=_NEXT)]


def page_json(rows: Iterable[bytes], next_cursor: str | None) -> bytes:
    """A `Page` of rows that were rendered one by one."""
    return b'{"data":[%b],"next_cursor":%b}' % (b",".join(rows), orjson.dumps(next_cursor))


class HistoryPage(Page[RowT]):
    """A page of what happened to a payment.

    What happened before `archived_at` was taken out into an archive, and is in no page any more;
    null where all of it is here.
    """

    archived_at: datetime | None
