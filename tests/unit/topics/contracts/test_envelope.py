"""A message is written and read back as CloudEvents says, on Kafka and on Redis alike."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.topics.relay.test_pgoutput import ROW
from topics.contracts.envelope import (
    EnvelopeError,
    Message,
    OutboxRow,
    from_kafka,
    from_redis,
    headers_of,
    rfc3339,
    unix_ms,
)

WORK = ROW._replace(
    aggregatetype=b"payments.charges",
    sequence=None,
    causationid=b"01a20980-4d70-7f5d-9563-699716d1d34e",
    traceparent=b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    tracestate=b"congo=t61rcWkgMzE",
)


def read(row: OutboxRow, **changed: bytes | None) -> Message:
    """The row's message as a Kafka consumer reads it, some headers changed or left out."""
    headers = {**dict(headers_of(row, b"16/B374D848")), **changed}
    present = [(name, value) for name, value in headers.items() if value is not None]
    return from_kafka(row.aggregatetype.decode(), row.aggregateid, row.payload, present)


def test_an_event_carries_its_sequence() -> None:
    """A public event is counted and has no cause to name."""
    assert read(ROW) == Message(
        id=UUID(ROW.id.decode()),
        type="payment.created",
        topic="payments.events",
        key=ROW.aggregateid.decode(),
        sequence=1,
        causation_id=None,
        tenant_id="default",
        traceparent=None,
        tracestate=None,
        occurred_at=datetime(2024, 6, 7, 12, 0, 0, 500_000, tzinfo=UTC),
        value=ROW.payload,
        headers=dict(headers_of(ROW, b"16/B374D848")),
    )


def test_work_carries_its_cause() -> None:
    """A work message is not counted, but names the event that caused it, and its trace."""
    message = read(WORK)
    assert message.sequence is None
    assert message.causation_id == UUID("01a20980-4d70-7f5d-9563-699716d1d34e")
    assert message.traceparent == "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert message.tracestate == "congo=t61rcWkgMzE"


def test_the_headers_are_cloudevents_in_binary_mode() -> None:
    """And Debezium's `id`, and the position in the WAL."""
    assert dict(headers_of(ROW, b"16/B374D848")) == {
        "ce_id": ROW.id,
        "ce_type": b"payment.created",
        "ce_source": b"/payments",
        "ce_specversion": b"1.0",
        "ce_time": b"2024-06-07T12:00:00.5Z",
        "ce_subject": ROW.aggregateid,
        "ce_partitionkey": ROW.aggregateid,
        "ce_sequence": b"0000000001",
        "ce_sequencetype": b"Integer",
        "ce_tenantid": b"default",
        "content-type": b"application/json",
        "id": ROW.id,
        "lsn": b"16/B374D848",
    }


@given(st.lists(st.integers(1, 2**31 - 1), min_size=2))
def test_sequences_are_in_the_order_of_their_text(numbers: list[int]) -> None:
    """As CloudEvents' sequence extension asks, for whoever compares them without reading them."""
    rows = [ROW._replace(sequence=str(number).encode()) for number in numbers]
    texts = [dict(headers_of(row, None))["ce_sequence"] for row in rows]
    assert sorted(texts) == [texts[numbers.index(number)] for number in sorted(numbers)]
    assert [read(row).sequence for row in rows] == numbers


def test_a_sequence_of_old_is_read() -> None:
    """Without the zeros in front, as what was published before has it, and what Debezium writes."""
    assert read(ROW, ce_sequence=b"17", ce_sequencetype=None).sequence == 17


def test_a_header_of_null_is_none() -> None:
    """As Debezium on Kafka Connect writes it, for a column that is null."""
    told = [*headers_of(WORK, b"16/B374D848"), ("ce_sequence", None)]
    assert from_kafka("payments.charges", WORK.aggregateid, WORK.payload, told) == read(WORK)


def test_redis_carries_key_and_value_as_fields() -> None:
    """An entry of a stream is the same message."""
    fields = {name.encode(): value for name, value in headers_of(ROW, b"16/B374D848")}
    fields |= {b"key": ROW.aggregateid, b"value": ROW.payload, b"timestamp": b"1717761600500"}
    assert from_redis("payments.events", fields) == read(ROW)


@pytest.mark.parametrize(
    ("header", "value", "complaint"),
    [
        ("ce_id", None, "ce_id: is missing"),
        ("ce_id", b"7", "ce_id: '7' is not a UUID"),
        ("ce_type", b"\xff", "ce_type: is not UTF-8"),
        ("ce_time", b"yesterday", "ce_time: 'yesterday' is not a time"),
        ("ce_time", b"2024-06-07T12:00:00", "has no time zone"),
        ("ce_sequence", b"-1", "ce_sequence: '-1' is not a count"),
        ("ce_sequence", "\u0661".encode(), "is not a count"),
        ("ce_causationid", b"x", "ce_causationid: 'x' is not a UUID"),
        ("ce_specversion", b"2.0", "only CloudEvents 1.0"),
        ("ce_tenantid", None, "ce_tenantid: is missing"),
    ],
)
def test_what_is_wrong_is_said(header: str, value: bytes | None, complaint: str) -> None:
    """The error names the topic, the header and what is wrong with it."""
    with pytest.raises(EnvelopeError, match=complaint):
        read(ROW, **{header: value})


@pytest.mark.parametrize(("key", "value"), [(None, b"{}"), (b"k", None)])
def test_a_tombstone_is_no_message(key: bytes | None, value: bytes | None) -> None:
    """Ours have a key and a value."""
    with pytest.raises(EnvelopeError, match="without a key"):
        from_kafka("payments.events", key, value, headers_of(ROW, None))


def test_times_of_another_zone_are_refused() -> None:
    """A session that is not in UTC would write wrong times that look right."""
    with pytest.raises(ValueError, match="not in UTC"):
        rfc3339(b"2024-06-07 14:00:00+02")


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        (b"2024-06-07 12:00:00+00", 1_717_761_600_000),
        (b"2024-06-07 12:00:00.5+00", 1_717_761_600_500),
        (b"2024-06-07 12:00:00.000999+00", 1_717_761_600_000),
        (b"1969-12-31 23:59:59.9995+00", -1),
    ],
)
def test_milliseconds_are_rounded_down(text: bytes, milliseconds: int) -> None:
    """So that a window of the table and one of a topic begin at the same row."""
    assert unix_ms(text) == milliseconds
