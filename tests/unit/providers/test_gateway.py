"""What is asked of a gateway."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import pytest

from payments.ids import uuid7
from payments.money import Money
from payments.outcome import Operation
from providers.gateway import Inquiry, StandingQuery

if TYPE_CHECKING:
    from uuid import UUID

_LAST: Final = 253_402_300_799
_MS: Final = 1_000_000


def _asked_since(payment_id: UUID) -> set[datetime | None]:
    inquiry = Inquiry(
        payment_id=payment_id,
        idempotency_key="key",
        operation=Operation.CHARGE,
        amount=Money(1, "USD"),
    )
    return {inquiry.asked_since, StandingQuery(payment_id=payment_id).asked_since}


@pytest.mark.parametrize("at", [0, _LAST])
def test_since_when_a_payment_was_asked_for_is_told_by_its_id(at: int) -> None:
    """It was made then, or a little later."""
    assert _asked_since(uuid7(at * 1000 * _MS, 0)) == {datetime.fromtimestamp(at, UTC)}


@pytest.mark.parametrize("milliseconds", [(_LAST + 1) * 1000, (1 << 48) - 1])
def test_an_id_of_no_calendar_tells_nothing(milliseconds: int) -> None:
    """Its milliseconds may go on for nine hundred years, and it may be a stranger's."""
    assert _asked_since(uuid7(milliseconds * _MS, 0)) == {None}


def test_an_id_without_a_time_tells_nothing() -> None:
    """As one that a stranger made up."""
    assert _asked_since(uuid4()) == {None}
