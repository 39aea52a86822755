"""Where a page of a list ended, as text: it leads back there, and to no other list."""

import base64
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.handling.cursors import BY_ID, BY_TIME
from api.http.problems import Problem


@given(st.uuids(), st.text())
def test_a_cursor_leads_back_to_where_it_was_made(last: UUID, filters: str) -> None:
    """Any id comes back, with the same filters."""
    filters = filters.encode(errors="replace").decode()
    assert BY_ID.position(BY_ID.cursor_after(last, filters), filters) == last


@given(st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31)), st.uuids())  # noqa: DTZ001 - hypothesis wants bounds without a zone
def test_a_cursor_by_time_leads_back_too(naive: datetime, last: UUID) -> None:
    """Time and id come back, to the microsecond."""
    instant = naive.replace(tzinfo=UTC)
    assert BY_TIME.position(BY_TIME.cursor_after((instant, last), "f"), "f") == (instant, last)


@pytest.mark.parametrize(
    "cursor",
    [
        *("", "x", "=", "AAAA", "a" * 200, "é", "\n"),
        BY_ID.cursor_after(uuid4(), "other"),
        BY_ID.cursor_after(uuid4(), "f") + "A",
        BY_TIME.cursor_after((datetime.now(UTC), uuid4()), "f"),
    ],
)
def test_a_cursor_of_another_list_is_refused(cursor: str) -> None:
    """What is no cursor of these filters is the client's mistake, and named."""
    with pytest.raises(Problem) as refusal:
        BY_ID.position(cursor, "f")
    assert [error.parameter for error in refusal.value.errors] == ["cursor"]


def test_a_time_no_calendar_has_is_refused() -> None:
    """A cursor whose time was made up lies beyond the year 9999."""
    honest = base64.urlsafe_b64decode(BY_TIME.cursor_after((datetime.now(UTC), uuid4()), "f"))
    forged = base64.urlsafe_b64encode(honest[:-24] + b"\xff" * 24).decode()
    with pytest.raises(Problem):
        BY_TIME.position(forged, "f")
