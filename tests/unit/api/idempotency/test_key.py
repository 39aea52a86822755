"""The Idempotency-Key of a request, and what it stands for."""

import pytest

from api.http.problems import Problem
from api.http.strict_json import parse
from api.idempotency.key import KeyUse, fingerprint, key_of


@pytest.mark.parametrize(
    ("sent", "key"),
    [
        ("a", "a"),
        ("8e03978e-40d5-43e8-bc93-6894a57f9324", "8e03978e-40d5-43e8-bc93-6894a57f9324"),
        ('"8e03978e-40d5-43e8-bc93-6894a57f9324"', "8e03978e-40d5-43e8-bc93-6894a57f9324"),
        ('"a"', "a"),
        (r'"a\"b\\c"', 'a"b\\c'),
        ("!~", "!~"),
        ('a"b', 'a"b'),
        (" a\t", "a"),
        ("x" * 255, "x" * 255),
        ('"' + "x" * 255 + '"', "x" * 255),
    ],
)
def test_the_bare_and_the_quoted_form_are_one_key(sent: str, key: str) -> None:
    """Up to 255 visible ASCII characters, as a structured-field string or bare."""
    assert key_of([sent], KeyUse.REQUIRED) == key
    assert key_of([sent], KeyUse.ACCEPTED) == key
    assert key_of([sent], KeyUse.IGNORED) is None


@pytest.mark.parametrize(
    "sent",
    ["", " ", '""', '"', '"a', r'"a\x"', '"a" b', '"a";p=1', "a b", '"a b"', "é", "\udcff",
     "x" * 256],
)  # fmt: skip
def test_a_key_of_another_form_is_refused(sent: str) -> None:
    """400, for a key that could be read in two ways or not at all."""
    with pytest.raises(Problem) as refusal:
        key_of([sent], KeyUse.ACCEPTED)
    assert refusal.value.kind.code == "idempotency_key_invalid"


def test_a_key_is_asked_for_where_it_is_needed() -> None:
    """Without one, 400 where it is required; two are refused everywhere."""
    assert key_of([], KeyUse.ACCEPTED) is None
    with pytest.raises(Problem) as missing:
        key_of([], KeyUse.REQUIRED)
    assert (missing.value.kind.code, missing.value.kind.status) == ("idempotency_key_missing", 400)
    with pytest.raises(Problem) as double:
        key_of(["a", "b"], KeyUse.ACCEPTED)
    assert double.value.kind.code == "idempotency_key_invalid"


def test_a_fingerprint_is_method_path_and_body() -> None:
    """Any of the three makes another request; how the body is written does not."""
    asked = fingerprint("POST", "/a", parse(b'{"x": 1.0, "y": 2}'))
    assert fingerprint("POST", "/a", parse(b'{"y":2,"x":1}')) == asked
    assert fingerprint("PUT", "/a", parse(b'{"x": 1, "y": 2}')) != asked
    assert fingerprint("POST", "/b", parse(b'{"x": 1, "y": 2}')) != asked
    assert fingerprint("POST", "/a", parse(b'{"x": 1, "y": 3}')) != asked
