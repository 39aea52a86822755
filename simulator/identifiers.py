"""Identifiers in the vendors' shapes: unguessable, and in creation order within a prefix.

The order lets a list be paged from an id alone. Entropy and clock are arguments.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from random import Random
from typing import Final

# In ASCII order, so that ids compare as the numbers they encode.
_BASE62: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BASE36: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_HEX: Final = "0123456789abcdef"
_TIME_DIGITS_62: Final = 10  # microseconds until the year 28,000
_TIME_DIGITS_36: Final = 11  # microseconds until the year 6,000


class Identifiers:
    """Draws ids. `now` gives Unix seconds."""

    def __init__(self, entropy: Random, now: Callable[[], float]) -> None:
        self._entropy = entropy
        self._now = now
        self._last_us = 0

    def prefixed(self, prefix: str, *, length: int = 24) -> str:
        """As Stripe has them: a prefix and `length` base-62 characters, in creation order."""
        ordered = _digits(self._tick(), _BASE62, _TIME_DIGITS_62)
        return f"{prefix}{ordered}{self._alphanumeric(length - _TIME_DIGITS_62)}"

    def capitals(self) -> str:
        """As PayPal has them: seventeen characters of 0-9A-Z, in creation order."""
        return _digits(self._tick(), _BASE36, _TIME_DIGITS_36) + self._draw(_BASE36, 6)

    def hexadecimal(self, length: int) -> str:
        """Random hexadecimal digits, for debug ids."""
        return self._draw(_HEX, length)

    def _tick(self) -> int:
        """Microseconds that never repeat and never go back while this process lives."""
        self._last_us = max(self._last_us + 1, int(self._now() * 1e6))
        return self._last_us

    def _alphanumeric(self, length: int) -> str:
        """Random letters and digits, by the fastest way there is: two ids a charge."""
        return b64encode(self._entropy.randbytes(length), b"xY")[:length].decode()

    def _draw(self, alphabet: str, length: int) -> str:
        return _digits(self._entropy.getrandbits(6 * length), alphabet, length)


def _digits(value: int, alphabet: str, length: int) -> str:
    base = len(alphabet)
    text = ""
    for _ in range(length):
        value, digit = divmod(value, base)
        text = alphabet[digit] + text
    return text
