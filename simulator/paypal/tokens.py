"""OAuth 2 client credentials: tokens that expire, and that a restart does not forget.

A token carries its own expiry under a checksum, so nothing about it is stored. It protects
nothing: any client id and secret get one, unless the simulator was given the right pair.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import Final

LIFETIME_S: Final = 32_400  # nine hours, as PayPal's
_PREFIX: Final = "A21AA"
_CHECKSUM_KEY: Final = b"provider simulator"


def issue(at: float) -> str:
    """A token good for LIFETIME_S from `at` on, in Unix seconds."""
    expiry = str(int(at) + LIFETIME_S)
    return f"{_PREFIX}{expiry}-{_checksum(expiry)}"


def is_valid(token: str, at: float) -> bool:
    """Whether this simulator, in any of its lives, issued the token and it has not expired."""
    expiry, _, checksum = token.removeprefix(_PREFIX).partition("-")
    genuine = token.startswith(_PREFIX) and hmac.compare_digest(checksum, _checksum(expiry))
    return genuine and at < int(expiry)


def basic_credentials(header: str) -> tuple[str, str] | None:
    """Client id and secret of a Basic header."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        client_id, _, secret = base64.b64decode(encoded).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (client_id, secret) if client_id else None


def _checksum(expiry: str) -> str:
    return hmac.new(_CHECKSUM_KEY, expiry.encode(), hashlib.sha256).hexdigest()[:32]
