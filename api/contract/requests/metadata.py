"""Metadata: the client's own JSON object, kept and returned as it meant it, or refused.

It is copied into every event of its payment, so it is small. A number that a JSON
reader elsewhere would round is refused rather than changed.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Final

import orjson
from pydantic_core import PydanticCustomError

from api.http.strict_json import Number

# Stripe's limits for the number of keys and their length, which clients know.
KEYS_MAX: Final = 50
KEY_LENGTH_MAX: Final = 40
# Each payment has a dozen rows with it: 8 KiB here are 100 KiB there.
BYTES_MAX: Final = 8192
# Integers every JSON reader keeps: those a double holds (RFC 8259, section 6).
_INTEGER_MAX: Final = 2**53 - 1
_NUMBER_LENGTH_MAX: Final = 32


def exact_json(value: object) -> dict[str, object]:
    """The object with its numbers as numbers. Raises for what cannot be kept exactly."""
    if not isinstance(value, dict):
        raise PydanticCustomError("metadata", "must be an object")
    if len(value) > KEYS_MAX:
        raise PydanticCustomError("metadata", "has more than {count} keys", {"count": KEYS_MAX})
    kept: dict[str, object] = {}
    for name, member in value.items():
        if not 0 < len(name) <= KEY_LENGTH_MAX:
            raise PydanticCustomError(
                "metadata",
                "has a key that is not 1 to {count} characters",
                {"count": KEY_LENGTH_MAX},
            )
        kept[name] = _exact(member)
    if len(orjson.dumps(kept)) > BYTES_MAX:
        raise PydanticCustomError("metadata", "is longer than {count} bytes", {"count": BYTES_MAX})
    return kept


def _exact(value: object) -> object:
    match value:
        case Number():
            return _number(value.text)
        case list():
            return [_exact(item) for item in value]
        case dict():
            return {name: _exact(member) for name, member in value.items()}
        case _:
            return value


def _number(text: str) -> int | float:
    if len(text) <= _NUMBER_LENGTH_MAX:
        if text.lstrip("-").isdigit():
            whole = int(text)
            if abs(whole) <= _INTEGER_MAX:
                return whole
        elif _is_exact(text):
            return float(text)
    raise PydanticCustomError(
        "metadata", "has a number that readers would round: send it as a string"
    )


def _is_exact(text: str) -> bool:
    """Whether a double is written with the same value."""
    try:
        return Decimal(text) == Decimal(repr(float(text)))
    except InvalidOperation:
        return False
