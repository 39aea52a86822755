"""What a client can send that nobody should take, made from the routes and their models.

A route or a field that is added is attacked without anybody thinking of it here: which values
a field does not take follows from the document.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

import orjson
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # it ships no types

from api.contract.openapi import document
from api.contract.route import AnyRoute
from api.idempotency.key import KeyUse
from api.routes import ROUTES
from providers.registry import NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.api.possessions import Possessions

Schema = dict[str, "Schema"]

WITH_BODY: Final = [route for route in ROUTES if route.body]
WITH_QUERY: Final = [route for route in ROUTES if route.query]
WITH_ID: Final = [route for route in ROUTES if "{id}" in route.path]
WITH_KEY: Final = [route for route in ROUTES if route.key_use is not KeyUse.IGNORED]

_DOCUMENT: Final = orjson.loads(orjson.dumps(document(ROUTES, NAMES)))

# Of every JSON type, each in an empty, a usual and an extreme form; as text, since no value of
# Python's is 1e400.
_TOKENS: Final = (
    "null", "true", "false", "0", "-0", "-1", "0.5", "1e400", "18446744073709551616",
    "1" + "0" * 300, '""', '"x"', '"0"', '"-1"', '"NaN"', '"null"', '"' + "x" * 600 + '"',
    "[]", "[null]", '["x"]', "[[]]", "{}", '{"": 1}', '{"x": 1}', '{"amount": 1}',
)  # fmt: skip
# Strings nobody stores, whatever a schema says of them.
_UNSTORABLE: Final = (r'"\u0000"', r'"a\u0000b"', r'"\ud800"', r'"\udc00\ud800"')

BODIES: Final[dict[str, tuple[bytes, int]]] = {
    "nothing but spaces": (b"   ", 400),
    "cut off": (b'{"amount": ', 400),
    "two values": (b"{} {}", 400),
    "a comment": (b"{} // x", 400),
    "a trailing comma": (b'{"amount": 1,}', 400),
    "single quotes": (b"{'amount': 1}", 400),
    "a duplicate": (b'{"amount": 1, "amount": 1}', 400),
    "a duplicate in disguise": (rb'{"amount": 1, "\u0061mount": 1}', 400),
    "a duplicate deep inside": (b'{"metadata": {"a": [{"b": 1, "b": 2}]}}', 400),
    "too deep": (b"[" * 20_000, 400),
    "a level too deep": (b'{"metadata":' + b'{"a":' * 32 + b"1" + b"}" * 33, 400),
    "as deep in two kinds": (b'{"metadata":' + b'[{"a":' * 16 + b"1" + b"}]" * 16 + b"}", 400),
    "a bare tab in a string": (b'{"reason": "a\tb"}', 400),
    "an unknown escape": (rb'{"reason": "\x41"}', 400),
    "half an escape": (rb'{"reason": "\u12"}', 400),
    "not UTF-8": (b'{"amount": "\xff"}', 400),
    "an overlong NUL": (b'{"reason": "\xc0\x80"}', 400),
    "an overlong slash": (b'{"reason": "\xe0\x80\xaf"}', 400),
    "a surrogate in UTF-8": (b'{"reason": "\xed\xa0\x80"}', 400),
    "beyond Unicode": (b'{"reason": "\xf4\x90\x80\x80"}', 400),
    "a byte order mark": (b'\xef\xbb\xbf{"amount": 1}', 400),
    "UTF-16": ('{"amount": 1}'.encode("utf-16"), 400),
    "UTF-32": ('{"amount": 1}'.encode("utf-32"), 400),
    "NaN": (b'{"amount": NaN}', 400),
    "Infinity": (b'{"amount": Infinity}', 400),
    "minus Infinity": (b'{"amount": -Infinity}', 400),
    "leading zeros": (b'{"amount": 007}', 400),
    "a plus": (b'{"amount": +1}', 400),
    "no digit before the point": (b'{"amount": .5}', 400),
    "no digit after the point": (b'{"amount": 1.}', 400),
    "no digit after the e": (b'{"amount": 1e}', 400),
    "hexadecimal": (b'{"amount": 0x10}', 400),
    "underscores": (b'{"amount": 1_000}', 400),
    "NUL in a key": (rb'{"\u0000": 1}', 422),
    "half a pair in a key": (rb'{"\ud800": 1}', 422),
    "an array": (b"[]", 422),
    "a number": (b"1", 422),
    "null": (b"null", 422),
    "a string": (b'"{}"', 422),
    "another field": (b'{"is_admin": true}', 422),
    "a prototype": (b'{"__proto__": {"amount": 1}}', 422),
    "a long key": (orjson.dumps({"k" * 60_000: 1}), 422),
    "many keys": (orjson.dumps({str(n): n for n in range(5000)}), 422),
    "an integer of 60,000 digits": (b'{"amount": ' + b"9" * 60_000 + b"}", 422),
    "exactly 64 KiB": (b'{"x": "' + b"x" * (65_536 - 9) + b'"}', 422),
    "a byte over 64 KiB": (b'{"x": "' + b"x" * (65_536 - 8) + b'"}', 413),
    "almost a megabyte": (b'{"x": "' + b"x" * 900_000 + b'"}', 413),
}
# In dollars, for what must be more than nothing: no text is rounded to an amount.
AMOUNTS: Final = (
    "0", "-0", "0.00", "0e9", "-1", "-0.01", "-1e2", "0.001", "1e-3", "1.000", "1e400", "1e-400",
    "18446744073709551616", "9223372036854775808", "10000000000000.01", "1000000000000001e-2",
    "1e14", "1e999999999", "0.1000000000000000055511151231257827", "1" + "0" * 40_000,
    '"NaN"', '"Infinity"', '"-Infinity"', '"1e400"', '"1e-3"', '"-1"', '"+1"', '"0"', '""', '" 1"',
    '"1 "', '"1,00"', '"1,000.00"', '"1_0"', '"0x10"', '"1e"', '".5"', '"5."', '"1/2"', '"$1"',
    '"\uff11"', '"\u0661"', '"1\u00a0"', '"\u22121"', '"' + "9" * 65 + '"',
)  # fmt: skip
KEYS: Final = (
    "", " ", "x" * 256, f'"{"x" * 256}"', "\u00e9", '"\u00e9"', '""', '"', '"a', '"a" "b"', "a b",
    '"a b"', '"a";p=1', r'"\a"', "a\tb", "\U0001f600",
)  # fmt: skip
CONTENT_TYPES: Final = (
    "", "json", "application/x-www-form-urlencoded", "text/plain", "text/json",
    "multipart/form-data; boundary=x", "application/problem+json", "application/jsonp",
    "application/json; charset=latin-1", "application/json; charset=utf-16", "application/xml",
    "application/json, text/plain", "*/*",
)  # fmt: skip


@dataclass(frozen=True)
class WrongField:
    """A body that is right but for one field."""

    route: AnyRoute
    field: str
    body: bytes


def wrong_fields(owned: Possessions) -> Iterator[WrongField]:
    """Every field of every body with every value that it does not take."""
    for route in WITH_BODY:
        sound = owned.body_of(route)
        assert sound is not None
        for field in _properties(route):
            for token in refused_by(route, field):
                yield WrongField(route, field, with_token(sound, field, token))


def amount_fields() -> Iterator[tuple[AnyRoute, str]]:
    """Every field that says how much to move."""
    for route in WITH_BODY:
        for field, schema in _properties(route).items():
            if "exclusiveMinimum" in orjson.dumps(schema).decode():
                yield route, field


def refused_by(route: AnyRoute, field: str) -> list[str]:
    """The values a field of a route's body does not take, as JSON."""
    schema = {**_properties(route)[field], "components": _DOCUMENT["components"]}
    documented = Draft202012Validator(schema)
    return [
        *(token for token in _TOKENS if not documented.is_valid(json.loads(token))),
        *_UNSTORABLE,
    ]


def with_token(sound: dict[str, object], field: str, token: str) -> bytes:
    """A sound body with one field as it is said, to the letter."""
    others = orjson.dumps({name: value for name, value in sound.items() if name != field})
    comma = "," if len(others) > len("{}") else ""
    return others[:-1] + f"{comma}{json.dumps(field)}:{token}}}".encode()


def queries(route: AnyRoute) -> Iterator[tuple[str, str]]:
    """Query strings a route does not take, and the parameter that is to be named."""
    yield "offset=-1", "offset"
    yield "=", ""
    yield "%00=1", "\0"
    names = [each["name"] for each in _operation(route)["parameters"] if each["in"] == "query"]
    for name in names:
        for text in ("", "%00", "%ED%A0%80", "%FF", "x%00", "null", "-1", "%27--", "x" * 2000):
            # These are any text.
            is_text = name in {"stage", "provider_transaction_id", "action", "target"}
            if not (is_text and text in {"null", "-1", "%27--"}):
                yield f"{name}={text}", name
        yield f"{name}=a&{name}=a", name
        yield f"{name.upper()}=1", name.upper()
    if "limit" in names:
        for text in ("0", "101", "1.0", "1e1", "+1", "%2B1", "01000", "%D9%A1", " 1", "1;2"):
            yield f"limit={text}", "limit"


def instants(route: AnyRoute) -> Iterator[str]:
    """Query strings that name the first and the last moment of the calendar."""
    for each in _operation(route)["parameters"]:
        if "date-time" in str(each):
            for moment in ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"):
                yield f"{each['name']}={moment}"


def _properties(route: AnyRoute) -> dict[str, Schema]:
    assert route.body is not None
    schema = _DOCUMENT["components"]["schemas"][route.body.__name__]
    return cast("dict[str, Schema]", schema["properties"])


def _operation(route: AnyRoute) -> dict[str, list[dict[str, str]]]:
    operation = _DOCUMENT["paths"][route.path][route.method.lower()]
    return cast("dict[str, list[dict[str, str]]]", operation)
