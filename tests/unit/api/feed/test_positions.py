"""A position goes out to its tenant and comes back, or is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.feed.positions import POSITION_MAX, TOKEN_LENGTH, Place, mark_of, place_of

MARK = mark_of("7/00000001")


@given(position=st.integers(0, POSITION_MAX), tenant=st.text(max_size=20))
def test_a_position_comes_back(position: int, tenant: str) -> None:
    """As it was given, and always as long."""
    token = Place(MARK, position).token(tenant)
    assert len(token) == TOKEN_LENGTH
    assert place_of(token, tenant) == Place(MARK, position)


@given(text=st.text(max_size=30))
def test_what_was_not_given_is_refused(text: str) -> None:
    """Whatever it is."""
    with pytest.raises(ValueError, match="no position"):
        place_of(text, "acme")


def test_another_tenants_is_refused() -> None:
    """It would be no harm, and is a mistake."""
    with pytest.raises(ValueError, match="no position"):
        place_of(Place(MARK, 1).token("acme"), "other")


def test_histories_differ() -> None:
    """By the server, and by its timeline."""
    assert len({mark_of(each) for each in ("7/00000001", "7/00000002", "8/00000001")}) == 3
