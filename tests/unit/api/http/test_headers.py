"""What clients say in headers and cursors: keys, preferences, positions."""

import base64
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.handling.cursors import after_id, after_instant, id_of, instant_of
from api.http.preferences import wait_seconds
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


@pytest.mark.parametrize(
    ("sent", "seconds"),
    [
        ([], 0),
        (["wait=10"], 10),
        (["Wait = 10"], 10),
        (['wait="10"'], 10),
        (["respond-async, wait=5"], 5),
        (["respond-async", "wait=5;x=1"], 5),
        (["wait=1, wait=2"], 1),
        (["wait=31"], 30),
        (["wait=999999999"], 30),
        (["wait=0"], 0),
        (["wait=-1"], 0),
        (["wait=1.5"], 0),
        (["wait"], 0),
        (["wait=", "x"], 0),
        (["handling=lenient"], 0),
        (["wait=" + "9" * 5000], 0),
    ],
)
def test_a_wait_is_a_preference_and_never_an_error(sent: list[str], seconds: int) -> None:
    """At most 30 seconds; what cannot be read is no preference."""
    assert wait_seconds(sent) == seconds


@given(st.uuids(), st.text())
def test_a_cursor_leads_back_to_where_it_was_made(last: UUID, filters: str) -> None:
    """Any id comes back, with the same filters."""
    filters = filters.encode(errors="replace").decode()
    assert id_of(after_id(last, filters), filters) == last


@given(st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31)), st.uuids())  # noqa: DTZ001 - hypothesis wants bounds without a zone
def test_a_cursor_by_time_leads_back_too(naive: datetime, last: UUID) -> None:
    """Time and id come back, to the microsecond."""
    instant = naive.replace(tzinfo=UTC)
    assert instant_of(after_instant(instant, last, "f"), "f") == (instant, last)


@pytest.mark.parametrize(
    "cursor", ["", "x", "=", "AAAA", "a" * 200, "é", "\n", after_id(uuid4(), "other"),
               after_instant(datetime.now(UTC), uuid4(), "f"), after_id(uuid4(), "f") + "A"],
)  # fmt: skip
def test_a_cursor_of_another_list_is_refused(cursor: str) -> None:
    """What is no cursor of these filters is the client's mistake, and named."""
    with pytest.raises(Problem) as refusal:
        id_of(cursor, "f")
    assert [error.parameter for error in refusal.value.errors] == ["cursor"]


def test_a_time_no_calendar_has_is_refused() -> None:
    """A cursor whose time was made up lies beyond the year 9999."""
    honest = base64.urlsafe_b64decode(after_instant(datetime.now(UTC), uuid4(), "f"))
    forged = base64.urlsafe_b64encode(honest[:-24] + b"\xff" * 24).decode()
    with pytest.raises(Problem):
        instant_of(forged, "f")
