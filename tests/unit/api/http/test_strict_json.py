"""JSON as the API takes it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.http.strict_json import (
    DEPTH_MAX,
    MalformedJson,
    Number,
    UnacceptableText,
    canonical,
    parse,
    unacceptable_text,
)

REFUSED = {
    "nothing": (b"", "Expecting value"),
    "a word": (b"yes", "Expecting value"),
    "NaN": (b'{"amount": NaN}', "NaN is not a JSON number"),
    "Infinity": (b'{"amount": Infinity}', "Infinity is not a JSON number"),
    "minus Infinity": (b'{"amount": -Infinity}', "-Infinity is not a JSON number"),
    "hexadecimal": (b'{"amount": 0x10}', "Expecting ',' delimiter"),
    "leading zero": (b'{"amount": 01}', "Expecting ',' delimiter"),
    "leading plus": (b'{"amount": +1}', "Expecting value"),
    "bare point": (b'{"amount": .5}', "Expecting value"),
    "trailing comma": (b'{"amount": 1,}', "at line 1 column 1"),
    "single quotes": (b"{'amount': 1}", "Expecting property name"),
    "two values": (b"{} {}", "Extra data"),
    "a comment": (b"{} // hello", "Extra data"),
    "raw NUL in a string": (b'{"a": "\x00"}', "Invalid control character"),
    "raw line break in a string": (b'{"a": "\n"}', "Invalid control character"),
    "unknown escape": (rb'{"a": "\x41"}', "Invalid \\escape"),
    "duplicate key": (b'{"amount": 1, "amount": 2}', "the key 'amount' appears twice"),
    "duplicate key, escaped": (rb'{"amount": 1, "\u0061mount": 2}', "'amount' appears twice"),
    "duplicate key, deeper": (b'{"metadata": {"a": 1, "a": 1}}', "the key 'a' appears twice"),
    "not UTF-8": (b'{"a": "\xff"}', "byte 7 is not UTF-8"),
    "surrogates in UTF-8": (b'{"a": "\xed\xa0\x80"}', "is not UTF-8"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "is not UTF-8"),
    "byte order mark": (b"\xef\xbb\xbf{}", "Expecting value"),
    "unterminated": (b'{"a": "', "Unterminated string"),
    "arrays too deep": (b"[" * 60_000, f"deeper than {DEPTH_MAX} levels"),
    "objects too deep": (b'{"a":' * 10_000, f"deeper than {DEPTH_MAX} levels"),
    "closed and too deep": (b"[" * 33 + b"]" * 33, f"deeper than {DEPTH_MAX} levels"),
}


@pytest.mark.parametrize(("body", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_not_json_is_refused_with_a_reason(body: bytes, reason: str) -> None:
    """Every reader must agree on what a body says; what readers disagree on is refused."""
    with pytest.raises(MalformedJson) as refusal:
        parse(body)
    assert reason in str(refusal.value)


@pytest.mark.parametrize(
    "text", ["0.1", "1000.00", "1e2", "1E+2", "9007199254740993", "-0", "1e400", "9" * 5000]
)
def test_a_number_keeps_every_digit(text: str) -> None:
    """A number is the text that was sent, whatever a float would make of it."""
    value = parse(f'{{"amount": {text}}}'.encode())
    assert isinstance(value, dict)
    assert isinstance(value["amount"], Number)
    assert value["amount"].text == text


def test_nesting_up_to_the_limit_is_read() -> None:
    """The limit counts levels, not brackets, and brackets in a string are none."""
    deepest = b"[" * DEPTH_MAX + b"]" * DEPTH_MAX
    assert parse(deepest) is not None
    assert parse(b"[" + b"[]," * 1000 + b"[]]") is not None
    assert parse(b'{"a": "' + b"[{" * 1000 + rb"\"[" + b'"}') is not None


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (rb'{"a": "\u0000"}', UnacceptableText("/a", "contains a NUL character")),
        (rb'{"a": ["", "x\u0000"]}', UnacceptableText("/a/1", "contains a NUL character")),
        (rb'{"a": "\ud800"}', UnacceptableText("/a", "contains half of a surrogate pair")),
        (rb'{"a": "\udc00\ud800"}', UnacceptableText("/a", "contains half of a surrogate pair")),
        (
            rb'{"m": {"\u0000": 1}}',
            UnacceptableText("/m", "has a key that contains a NUL character"),
        ),
        (rb'{"a/b": {"~": "\u0000"}}', UnacceptableText("/a~1b/~0", "contains a NUL character")),
        (rb'{"a": "\ud83d\ude00"}', None),
        (rb'{"a": "\\u0000"}', None),
        (b"{}", None),
    ],
)
def test_text_nobody_can_store_is_found_where_it_is(
    body: bytes, found: UnacceptableText | None
) -> None:
    """NUL and lone surrogates are named by a pointer; escaped pairs and backslashes are text."""
    assert unacceptable_text(body, parse(body)) == found


SAME = [
    (b'{"a": 1, "b": 2}', b'{"b":2,"a":1}'),
    (b'{"a": 100}', b'{"a": 100.00}'),
    (b'{"a": 100}', b'{"a": 1e2}'),
    (b'{"a": 100}', b'{"a": 0.1E+3}'),
    (b'{"a": 0}', b'{"a": -0.00}'),
    (b'{"a": 1e999999}', b'{"a": 10E999998}'),
    ('{"a": "é"}'.encode(), rb'{"a": "\u00e9"}'),
]
DIFFERENT = [
    (b'{"a": 1}', b'{"a": "1"}'),
    (b'{"a": 1}', b'{"a": true}'),
    (b'{"a": 1}', b'{"a": -1}'),
    (b'{"a": null}', b"{}"),
    (b'{"a": [1, 2]}', b'{"a": [2, 1]}'),
    (b'{"a": 9007199254740993}', b'{"a": 9007199254740992}'),
    (b'{"a": 0.1}', b'{"a": 0.10000000000000000001}'),
    (b'{"a": 1e9999999}', b'{"a": 1e99999999}'),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_the_same_value_is_canonically_the_same_bytes(one: bytes, other: bytes) -> None:
    """Spaces, order, escapes and how a number is written make no other request."""
    assert canonical(parse(one)) == canonical(parse(other))


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_another_value_is_canonically_other_bytes(one: bytes, other: bytes) -> None:
    """Types, order in arrays and every digit make another request."""
    assert canonical(parse(one)) != canonical(parse(other))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=12,
)


@given(_JSON)
def test_canonical_bytes_do_not_depend_on_how_a_body_is_written(value: object) -> None:
    """Any value written in two ways is one value, and the bytes can be parsed again."""
    try:
        compact = parse(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode())
    except UnicodeEncodeError:
        return
    spaced = parse(json.dumps(value, indent=3, sort_keys=True).encode())
    assert canonical(compact) == canonical(spaced)
    json.loads(canonical(compact))
