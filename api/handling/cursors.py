"""Opaque cursors: where a page of a list ended, bound to the filters it was made with.

Lists are ordered newest first by an id or a time with an id, so that a page begins where
the one before ended, whatever was inserted in between.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from api.http.problems import FieldError, Problem, invalid

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_ID_BYTES: Final = 16
_TIME_BYTES: Final = 8
# Tells an honest mistake (a cursor of another list) from the right one; it guards no secret.
_FILTER_BYTES: Final = 6


def after_id(last: UUID, filters: str) -> str:
    """The cursor of what comes after `last` in a list with these filters."""
    return _encoded(last.bytes, filters)


def id_of(cursor: str, filters: str) -> UUID:
    """The id a cursor stands for. Raises Problem for one of another list, or none at all."""
    return UUID(bytes=_decoded(cursor, filters, _ID_BYTES))


def after_instant(last: datetime, last_id: UUID, filters: str) -> str:
    """As `after_id`, for a list that is ordered by a time first."""
    since_epoch = (last - _EPOCH) // _MICROSECOND
    return _encoded(since_epoch.to_bytes(_TIME_BYTES, "big") + last_id.bytes, filters)


def instant_of(cursor: str, filters: str) -> tuple[datetime, UUID]:
    """The time and id a cursor stands for. Raises Problem."""
    position = _decoded(cursor, filters, _TIME_BYTES + _ID_BYTES)
    since_epoch = int.from_bytes(position[:_TIME_BYTES], "big")
    try:
        instant = _EPOCH + since_epoch * _MICROSECOND
    except OverflowError:
        raise _refusal() from None
    return instant, UUID(bytes=position[_TIME_BYTES:])


def _encoded(position: bytes, filters: str) -> str:
    return base64.urlsafe_b64encode(_digest(filters) + position).rstrip(b"=").decode()


def _decoded(cursor: str, filters: str, length: int) -> bytes:
    try:
        data = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars="-_", validate=True)
    except (binascii.Error, ValueError):
        raise _refusal() from None
    position = data[_FILTER_BYTES:]
    # Written again it is the same to the letter, or it is no cursor of these filters.
    if len(position) != length or _encoded(position, filters) != cursor:
        raise _refusal()
    return position


def _digest(filters: str) -> bytes:
    return hashlib.sha256(filters.encode()).digest()[:_FILTER_BYTES]


def _refusal() -> Problem:
    reason = "is not the next_cursor of a page with the same filters"
    return invalid(FieldError(reason, parameter="cursor"))
