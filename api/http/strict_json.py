"""JSON as this API takes it: every number keeps its digits, and nothing is guessed.

A body is refused that is not UTF-8, not JSON (NaN and Infinity are not), nested
too deep, or that says one key twice, because readers differ in which of the two
they believe. Numbers stay text until somebody knows what they count.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final, NoReturn

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterator

# Ours nest four levels (metadata may add some); a parser's stack ends at about a thousand.
DEPTH_MAX: Final = 32

# Alternatives that cannot fail once begun (an unterminated string runs to the end), so that
# the scan of a hostile text is linear.
_STRING_OR_BRACKET: Final = re.compile(r'"[^"\\]*+(?:\\.?[^"\\]*+)*+"?|[\[\]{}]', re.DOTALL)
_LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")
# A longer number is no amount of ours, and not worth the work of finding its value: it is what
# was written.
_NUMBER_LENGTH_MAX: Final = 100
_EXPONENT_DIGITS_MAX: Final = 6


class MalformedJson(ValueError):
    """The text is not JSON, or not the JSON taken here; the message says why."""


@dataclass(frozen=True, slots=True)
class UnacceptableText:
    """A string no database stores and no peer reads: where it is, as a JSON pointer, and why."""

    pointer: str
    reason: str


class Number:
    """A JSON number as it was written."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return f"Number({self.text})"


def parse(body: bytes) -> object:
    """The value of a body: dict, list, str, bool, None and `Number`. Raises MalformedJson."""
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise MalformedJson(f"byte {error.start} is not UTF-8") from None
    if text.count("[") + text.count("{") > DEPTH_MAX:
        _refuse_depth(text)
    try:
        value: object = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise MalformedJson(f"{error.msg} at {where}") from None
    return value


def unacceptable_text(body: bytes, value: object) -> UnacceptableText | None:
    """The first NUL character or lone surrogate in a parsed body, in a key or a value.

    Only an escape can bring one in, so that most bodies are not walked.
    """
    if b"\\u" not in body:
        return None
    return next(_walk(value, ""), None)


def why_unacceptable(text: str) -> str | None:
    """What makes a text one that no database stores and no peer reads, if anything does."""
    if "\0" in text:
        return "contains a NUL character"
    if _LONE_SURROGATE.search(text):
        return "contains half of a surrogate pair"
    return None


def canonical(value: object) -> bytes:
    """The same bytes for the same value, however it was spaced, ordered and its numbers written."""
    return orjson.dumps(value, default=_canonical_number, option=orjson.OPT_SORT_KEYS)


def written(value: object) -> str:
    """A parsed body as JSON again, every number with its digits, as a string."""
    return orjson.dumps(value, default=lambda number: number.text).decode()


def pointer(*path: str | int) -> str:
    """A JSON pointer (RFC 6901) to a place in a body."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise MalformedJson(f"the key {name[:100]!r} appears twice in one object")
            seen.add(name)
    return members


def _not_a_number(name: str) -> NoReturn:
    raise MalformedJson(f"{name} is not a JSON number")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_unique,
    parse_float=Number,
    parse_int=Number,
    parse_constant=_not_a_number,
)


def _refuse_depth(text: str) -> None:
    depth = 0
    for token in _STRING_OR_BRACKET.finditer(text):
        match token[0]:
            case "[" | "{":
                depth += 1
                if depth > DEPTH_MAX:
                    raise MalformedJson(f"it is nested deeper than {DEPTH_MAX} levels")
            case "]" | "}":
                depth -= 1
            case _:
                continue


def _walk(value: object, at: str) -> Iterator[UnacceptableText]:
    match value:
        case str():
            if reason := why_unacceptable(value):
                yield UnacceptableText(at, reason)
        case dict():
            for name, member in value.items():
                if reason := why_unacceptable(name):
                    yield UnacceptableText(at, f"has a key that {reason}")
                else:
                    yield from _walk(member, at + pointer(name))
        case list():
            for index, item in enumerate(value):
                yield from _walk(item, at + pointer(index))
        case _:
            return


def _canonical_number(value: object) -> str:
    """A number by its value; the NUL tells it from a string, which can have none."""
    assert isinstance(value, Number), f"{type(value).__name__} does not come out of JSON"
    text = value.text.lower()
    if len(text) > _NUMBER_LENGTH_MAX:
        return f"\0{text}"
    mantissa, _, power = text.partition("e")
    if len(power) > _EXPONENT_DIGITS_MAX:
        return f"\0{text}"
    sign, digits, exponent = Decimal(mantissa).as_tuple()
    assert isinstance(exponent, int), "JSON has no infinity"
    significant = "".join(map(str, digits)).lstrip("0")
    shortened = significant.rstrip("0")
    scale = exponent + int(power or 0) + len(significant) - len(shortened)
    return f"\0{'-' if sign else ''}{shortened}e{scale}" if shortened else "\x000"
