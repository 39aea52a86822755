"""Where a page of a list ended, as text: it leads back there, and to no other list."""

import base64
from datetime import UTC, datetime
from typing import Final
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.handling.cursors import BY_ID, BY_ID_AND_NUMBER, BY_NUMBER, BY_TIME
from api.http.problems import Problem

# One that a test is named after is the same in every process.
_MADE: Final = (datetime(2026, 5, 4, 12, 30, tzinfo=UTC), UUID(int=1))


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


@given(st.uuids(), st.integers(0, 2**31 - 1))
def test_a_cursor_by_number_leads_back_too(last: UUID, number: int) -> None:
    """Alone, or with the id it counts for."""
    assert BY_NUMBER.position(BY_NUMBER.cursor_after(number, "f"), "f") == number
    position = (last, number)
    cursor = BY_ID_AND_NUMBER.cursor_after(position, "f")
    assert BY_ID_AND_NUMBER.position(cursor, "f") == position


def test_a_number_no_column_holds_is_above_all_that_do() -> None:
    """A cursor that was made up begins the list anew, and Postgres is not asked for the number."""
    for forged in (2**31, 2**32 - 1):
        assert BY_NUMBER.position(BY_NUMBER.cursor_after(forged, "f"), "f") == 2**31 - 1


@pytest.mark.parametrize(
    "cursor",
    [
        *("", "x", "=", "AAAA", "a" * 200, "é", "\n"),
        BY_ID.cursor_after(_MADE[1], "other"),
        BY_ID.cursor_after(_MADE[1], "f") + "A",
        BY_TIME.cursor_after(_MADE, "f"),
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
