"""OAuth 2 client credentials: tokens that expire, and that a restart does not forget.

A token carries its expiry and the digest of its client's id and secret under a checksum, so
nothing about it is stored, and it stops when these are no longer taken.
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


def issue(at: float, client: str) -> str:
    """A token good for LIFETIME_S from `at` on, in Unix seconds, for the client of a digest."""
    content = f"{int(at) + LIFETIME_S}.{client}"
    return f"{_PREFIX}{content}-{_checksum(content)}"


def client_of(token: str, at: float) -> str | None:
    """Whose token it is; None if no life of this simulator issued it, or it has expired."""
    content, _, checksum = token.removeprefix(_PREFIX).partition("-")
    if not token.startswith(_PREFIX) or not hmac.compare_digest(checksum, _checksum(content)):
        return None
    expiry, _, client = content.partition(".")
    return client if at < int(expiry) else None


def basic_credentials(header: str) -> str | None:
    """Client id and secret of a Basic header, a colon between them."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        credentials = base64.b64decode(encoded).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    return None if credentials.startswith(":") else credentials or None


def _checksum(expiry: str) -> str:
    return hmac.new(_CHECKSUM_KEY, expiry.encode(), hashlib.sha256).hexdigest()[:32]
