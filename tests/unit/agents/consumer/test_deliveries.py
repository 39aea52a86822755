"""What a stage makes of the bytes and headers it is given."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast
from uuid import uuid4

from agents.consumer.delivery import delivered
from tests.support.agents.deliveries import Event, headers_of_work, work
from topics.contracts.envelope import Message

if TYPE_CHECKING:
    from faust.types import EventT


def test_a_header_of_null_is_none() -> None:
    """Work that a stock Debezium on Kafka Connect publishes: it has null for each null column."""
    headers = headers_of_work() | {"ce_sequence": None, "ce_causationid": None}
    event = Event(0, work(uuid4()), headers, [], key=str(uuid4()).encode())
    found = delivered(cast("EventT[bytes]", event))
    assert isinstance(found.message, Message)
    assert (found.message.sequence, found.message.causation_id) == (None, None)
    assert found.source.headers.keys() == headers_of_work().keys()
