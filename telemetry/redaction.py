"""Takes secrets out of a log event: API keys, credentials, passwords, card numbers.

A cheap scan of the whole event (substring searches, 2 microseconds) decides whether
it could hold one. Only such an event is walked value by value, so that the rare line
pays for thoroughness and the common one does not. A key's name is enough to redact
its value; in free text the secret goes and what kind it was stays.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

import orjson

REDACTED: Final = "[redacted]"

_SENSITIVE_KEY: Final = re.compile(
    r"authori[sz]ation|passw(or)?d|secret|api[_-]?key|access_token|card_?(number|no)"
    r"|(^|_)cv[cv]2?($|_)|cookie",
    re.IGNORECASE,
)
_SECRET_TEXT: Final = re.compile(
    r"(?P<scheme>\b(?:bearer|basic)\s+)[^\s\"',;]+"
    r"|(?P<prefix>(?:pk|sk|rk|whsec)_)[A-Za-z0-9_\-]{6,}"
    r"|(?P<assigned>(?:passw(?:or)?d|secret|api[_-]?key|access_token|cookie)"
    r"[\"']?\s*[=:]\s*[\"']?)(?!bearer|basic)[^\s\"',;&]+"
    r"|(?P<url>://[^/\s:@]*:)[^/\s@]+(?=@)",
    re.IGNORECASE,
)
# Lower case; text without any of these and without a card's run of digits holds no secret.
_MARKERS: Final = (b"k_", b"whsec_", b"bearer", b"basic", b"passw", b"secret", b"key", b"token",
                   b"cookie", b"@")  # fmt: skip
# 13 to 19 digits, the lengths ISO/IEC 7812 allows, as people write them: in groups or not.
_CARD: Final = re.compile(r"(?<![\w.-])\d(?:[ -]?\d){12,18}(?![\w-])")
_CARD_DIGITS_MIN: Final = 13
_CARD_MIN: Final = 10 ** (_CARD_DIGITS_MIN - 1)
_DIGIT_RUN: Final = b"0" * _CARD_DIGITS_MIN
_TO_DIGIT_CLASS: Final = bytes(ord("0") if c in b"0123456789" else ord("x") for c in range(256))


def redact_event(event: dict[str, object]) -> dict[str, object]:
    """The event without secrets: the same object when it holds none."""
    if not _is_suspect(event):
        return event
    return {key: _redacted(key, value) for key, value in event.items()}


def redact_text(text: str) -> str:
    """The text without API keys, credentials and card numbers: for error bodies and spans."""
    text = _SECRET_TEXT.sub(_keep_kind, text)
    return _CARD.sub(lambda found: REDACTED if is_card(found[0]) else found[0], text)


def is_card(text: str) -> bool:
    """Whether the digits of the text satisfy the Luhn check of ISO/IEC 7812-1, annex B."""
    digits = [int(c) for c in reversed(text) if c.isdigit()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]
    return len(digits) >= _CARD_DIGITS_MIN and (sum(digits[::2]) + sum(doubled)) % 10 == 0


def _is_suspect(event: dict[str, object]) -> bool:
    texts: list[str] = []
    for key, value in event.items():
        if _is_sensitive(key):
            return True
        kind = type(value)
        if kind is str:
            texts.append(value)  # type: ignore[arg-type]  # `kind is str` is faster than isinstance
        elif kind is int:
            if value >= _CARD_MIN:  # type: ignore[operator]  # likewise
                return True
        elif kind is not bool and kind is not float and value is not None:
            return True
    text = "\n".join(texts).lower().encode("ascii", "replace")
    for marker in _MARKERS:
        if marker in text:
            return True
    # Most runs are in a UUID, which _CARD tells apart, at a price worth paying only here.
    has_run = _DIGIT_RUN in text.translate(_TO_DIGIT_CLASS, b" -")
    return has_run and _CARD.search(text.decode()) is not None


@lru_cache(maxsize=1024)  # the names under which the program logs: finite, with room for a surprise
def _is_sensitive(key: str) -> bool:
    return _SENSITIVE_KEY.search(key) is not None


def _redacted(key: str, value: object) -> object:
    if _is_sensitive(key) and value is not None:
        return REDACTED
    match value:
        case None | bool() | float():
            return value
        case str():
            return redact_text(value)
        case int():
            return REDACTED if is_card(str(value)) else value
        case dict():
            return {str(name): _redacted(str(name), item) for name, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_redacted("", item) for item in value]
        case _:
            return _redacted(key, orjson.loads(orjson.dumps(value, default=str)))


def _keep_kind(found: re.Match[str]) -> str:
    """What kind of secret stood here stays readable: `Bearer [redacted]`, `pk_[redacted]`."""
    return "".join(part for part in found.groupdict().values() if part) + REDACTED
