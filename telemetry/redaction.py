"""Takes secrets out of a finished log line: API keys, credentials, passwords, card numbers.

A cheap scan of the whole line (substring searches, a microsecond) decides whether it
could hold one. Only such a line is parsed and walked, value by value, so that the
rare line pays for thoroughness and the common one does not. The result is one JSON
object again, whatever was taken out.
"""

from __future__ import annotations

import json
import re
from typing import Final

REDACTED: Final = "[redacted]"

# Lower case; a line without any of these, and without 13 digits in a row, is left as it is.
_MARKERS: Final = (
    b"pk_",
    b"sk_",
    b"rk_",
    b"whsec_",
    b"authorization",
    b"bearer ",
    b"basic ",
    b"passw",
    b"secret",
    b"api_key",
    b"api-key",
    b"apikey",
    b"access_token",
    b"card",
    b"cvc",
    b"cvv",
    b"cookie",
    b"@",
)
_SENSITIVE_KEY: Final = re.compile(
    r"authorization|passw(or)?d|secret|api[_-]?key|access_token|card_?number|\bcv[cv]\b|cookie",
    re.IGNORECASE,
)
_SECRET_TEXT: Final = re.compile(
    r"(?P<scheme>\b(?:bearer|basic)\s+)[^\s\"',;]+"
    r"|(?P<prefix>\b(?:pk|sk|rk|whsec)_)[A-Za-z0-9_\-]{6,}"
    r"|(?P<assigned>\b(?:password|secret|api_?key|access_token)\s*[=:]\s*['\"]?)[^\s\"',;&]+"
    r"|(?P<url>://[^/\s:@]*:)[^/\s@]+(?=@)",
    re.IGNORECASE,
)
# 13 to 19 digits, the lengths ISO/IEC 7812 allows, as people write them: in groups or not.
_CARD: Final = re.compile(r"(?<![\w.-])\d(?:[ -]?\d){12,18}(?![\w-])")
_CARD_DIGITS_MIN: Final = 13
_DIGIT_RUN: Final = b"0" * _CARD_DIGITS_MIN
_TO_DIGIT_CLASS: Final = bytes(ord("0") if c in b"0123456789" else ord("x") for c in range(256))


def redact_line(line: bytes) -> bytes:
    """The line without secrets; `line` is one JSON object."""
    if not _is_suspect(line):
        return line
    # json, not orjson: it reads back whatever the renderer's own fallback wrote.
    return json.dumps(_redacted("", json.loads(line)), separators=(",", ":")).encode()


def _is_suspect(line: bytes) -> bool:
    lower = line.lower()
    if any(marker in lower for marker in _MARKERS):
        return True
    # Most runs are in a UUID, which _CARD tells apart, at a price worth paying only here.
    has_run = _DIGIT_RUN in line.translate(_TO_DIGIT_CLASS, b" -")
    return has_run and _CARD.search(line.decode()) is not None


def _redacted(key: str, value: object) -> object:
    if _SENSITIVE_KEY.search(key) and value is not None:
        return REDACTED
    match value:
        case str():
            return redact_text(value)
        case dict():
            return {name: _redacted(name, item) for name, item in value.items()}
        case list():
            return [_redacted("", item) for item in value]
        case int() if not isinstance(value, bool) and is_card(str(value)):
            return REDACTED
        case _:
            return value


def _keep_prefix(found: re.Match[str]) -> str:
    """What kind of secret stood here stays readable: `Bearer [redacted]`, `pk_[redacted]`."""
    groups = found.groupdict()
    return "".join(part for part in groups.values() if part) + REDACTED


def redact_text(text: str) -> str:
    """The text without API keys, credentials and card numbers: for error bodies and spans."""
    text = _SECRET_TEXT.sub(_keep_prefix, text)
    return _CARD.sub(lambda found: REDACTED if is_card(found[0]) else found[0], text)


def is_card(text: str) -> bool:
    """Whether the digits of the text satisfy the Luhn check of ISO/IEC 7812-1, annex B."""
    digits = [int(c) for c in reversed(text) if c.isdigit()]
    doubled = (d * 2 - 9 if d > 4 else d * 2 for d in digits[1::2])  # noqa: PLR2004 - 5 * 2 has two digits
    return len(digits) >= _CARD_DIGITS_MIN and (sum(digits[::2]) + sum(doubled)) % 10 == 0
