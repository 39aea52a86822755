"""Opaque cursors: where a page of a list ended, bound to the filters it was made with.

Lists are ordered newest first by what never changes, such as an id or a time with an id, so
that a page begins where the one before ended, whatever was inserted in between.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Generic, TypeVar
from uuid import UUID

from api.http.problems import FieldError, Problem, invalid

PositionT = TypeVar("PositionT")

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_ID_BYTES: Final = 16
_TIME_BYTES: Final = 8
_NUMBER_BYTES: Final = 4
_NUMBER_MAX: Final = (1 << 31) - 1
# Tells an honest mistake (a cursor of another list) from the right one; it guards no secret.
_FILTER_BYTES: Final = 6


@dataclass(frozen=True, slots=True)
class Order(Generic[PositionT]):
    """What a list is ordered by, and how a position in it is written in so many bytes."""

    length: int
    written: Callable[[PositionT], bytes]
    read: Callable[[bytes], PositionT]

    def cursor_after(self, last: PositionT, filters: str) -> str:
        """The cursor of what comes after `last` in a list with these filters."""
        return _encoded(self.written(last), filters)

    def position(self, cursor: str, filters: str) -> PositionT:
        """The position a cursor stands for. Raises Problem for one of another list, or none."""
        try:
            return self.read(_decoded(cursor, filters, self.length))
        except OverflowError:  # a time no calendar has
            raise _refusal() from None


def _written_by_time(position: tuple[datetime, UUID]) -> bytes:
    instant, row_id = position
    since_epoch = (instant - _EPOCH) // _MICROSECOND
    return since_epoch.to_bytes(_TIME_BYTES, "big") + row_id.bytes


def _read_by_time(position: bytes) -> tuple[datetime, UUID]:
    since_epoch = int.from_bytes(position[:_TIME_BYTES], "big")
    return _EPOCH + since_epoch * _MICROSECOND, UUID(bytes=position[_TIME_BYTES:])


def _written_by_id_and_number(position: tuple[UUID, int]) -> bytes:
    row_id, number = position
    return row_id.bytes + number.to_bytes(_NUMBER_BYTES, "big")


def _read_by_id_and_number(position: bytes) -> tuple[UUID, int]:
    return UUID(bytes=position[:_ID_BYTES]), _number(position[_ID_BYTES:])


def _number(written: bytes) -> int:
    # A cursor that was made up may hold what no column does.
    return min(int.from_bytes(written, "big"), _NUMBER_MAX)


BY_ID: Final[Order[UUID]] = Order(
    _ID_BYTES, lambda row_id: row_id.bytes, lambda written: UUID(bytes=written)
)
BY_TIME: Final = Order(_TIME_BYTES + _ID_BYTES, _written_by_time, _read_by_time)
BY_ID_AND_NUMBER: Final = Order(
    _ID_BYTES + _NUMBER_BYTES, _written_by_id_and_number, _read_by_id_and_number
)
BY_NUMBER: Final[Order[int]] = Order(
    _NUMBER_BYTES, lambda number: number.to_bytes(_NUMBER_BYTES, "big"), _number
)


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
