"""A position in the feed as clients have it: opaque, of one tenant, and of one history.

A database that was restored, or lost its last transactions with its primary, draws the same
positions anew for other events: a position of before is one of another history, and is told apart.
It is no secret and guards none, and so it is refused, not believed, where it cannot be right.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import Final

_MARK_BYTES: Final = 4
_POSITION_BYTES: Final = 8
_CHECK_BYTES: Final = 4
POSITION_MAX: Final = (1 << 63) - 1
# Of what is below written in base64.
TOKEN_LENGTH: Final = 22


@dataclass(frozen=True, slots=True)
class Place:
    """A position, and the mark of its history."""

    mark: bytes
    position: int

    def token(self, tenant_id: str) -> str:
        """As the tenant is given it."""
        placed = self.mark + self.position.to_bytes(_POSITION_BYTES, "big")
        written = placed + _check(placed, tenant_id)
        return base64.urlsafe_b64encode(written).rstrip(b"=").decode()


def mark_of(history: str) -> bytes:
    """What tells a history from others."""
    return hashlib.sha256(history.encode()).digest()[:_MARK_BYTES]


def place_of(token: str, tenant_id: str) -> Place:
    """The place that the tenant was given so. Raises ValueError for one that it was not."""
    try:
        written = base64.b64decode(token + "==", altchars="-_", validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("it is no position") from None
    placed, check = written[:-_CHECK_BYTES], written[-_CHECK_BYTES:]
    mark, position = placed[:_MARK_BYTES], placed[_MARK_BYTES:]
    place = Place(mark, int.from_bytes(position, "big"))
    is_whole = len(position) == _POSITION_BYTES and place.position <= POSITION_MAX
    # Written again it is the same to the letter, or nobody was given it.
    if not is_whole or check != _check(placed, tenant_id) or place.token(tenant_id) != token:
        raise ValueError("it is no position")
    return place


def _check(placed: bytes, tenant_id: str) -> bytes:
    return hashlib.sha256(placed + tenant_id.encode()).digest()[:_CHECK_BYTES]
