"""A letter on a topic is smaller than a broker takes, however large the message it is about."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from payments.dead_letter import DeadLetter, DeadLetterReason, SourceMessage
from payments.decision import Decision
from store.write.outbox import messages
from topics.contracts.payloads import DeadLetterEventData

if TYPE_CHECKING:
    from collections.abc import Mapping

THEN = datetime(2024, 6, 7, tzinfo=UTC)
BROKERS_DEFAULT = 1_048_576


def letter(
    *, key: bytes = b"key", value: bytes = b"value", headers: Mapping[str, str] | None = None
) -> DeadLetter:
    return DeadLetter(
        id=UUID(int=1),
        tenant_id="default",
        stage="charge",
        reason=DeadLetterReason.UNDECODABLE,
        error="no JSON",
        payment_id=None,
        refund_id=None,
        source=SourceMessage("payments.charges", 0, 7, key, value, headers or {}),
        attempts=1,
        first_failed_at=THEN,
        last_failed_at=THEN,
    )


def told(of: DeadLetter) -> tuple[str, DeadLetterEventData, int]:
    (row,) = messages(Decision(result=None, dead_letters=(of,)), (), None, THEN)
    return row.aggregateid, DeadLetterEventData.model_validate_json(row.payload), len(row.payload)


def test_a_letter_is_told_whole_where_it_can_be() -> None:
    """With the very bytes, and nothing is said to be cut."""
    key, data, _ = told(letter())
    assert (key, data.dead_letter.original().value, data.dead_letter.cut) == ("key", b"value", {})


@pytest.mark.parametrize(
    ("large", "cut"),
    [
        (letter(value=b"v" * 1_000_000), {"value": 1_000_000}),
        (letter(key=b"k" * 900_000), {"key": 900_000}),
        (letter(headers={"h": "x" * 900_000}), {"headers": 900_001}),
    ],
)
def test_what_is_long_is_shortened_and_said_to_be(large: DeadLetter, cut: dict[str, int]) -> None:
    """A message with a long key is keyed by its letter."""
    key, data, size = told(large)
    assert data.dead_letter.cut == cut
    assert size + len(key) < BROKERS_DEFAULT - 100_000
    assert (large.source.value or b"").startswith(data.dead_letter.original().value or b"")
