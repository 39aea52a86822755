"""Ids as bounds: they are ordered by the time they were made, so a time is a range of ids."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from payments.ids import uuid7

FIRST_ID: Final = UUID(int=0)
LAST_ID: Final = UUID(int=(1 << 128) - 1)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
# The 48 bits that count milliseconds in a UUIDv7 end in the year 10889; datetime ends before.
_NANOSECONDS_IN_MICROSECOND: Final = 1000


def first_id_of(instant: datetime) -> UUID:
    """The smallest id that may be made at this instant or later."""
    since_epoch = max(0, (instant - _EPOCH) // _MICROSECOND)
    return uuid7(since_epoch * _NANOSECONDS_IN_MICROSECOND, 0)
