"""The envelope of every message: CloudEvents 1.0 in Kafka's binary mode, on Kafka and on Redis.

A message is an outbox row and nothing else: `headers_of` writes the row's columns as headers,
`from_kafka` and `from_redis` read them back into the same frozen `Message`. Values are bytes
that nobody decodes on the way. Sources: CloudEvents 1.0.2 and its Kafka protocol binding 1.0.2,
the partitioning and sequence extensions, W3C Trace Context.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, NamedTuple, NoReturn
from uuid import UUID

# Redis has no place beside the fields for what Kafka keeps outside the headers.
REDIS_KEY: Final = "key"
REDIS_VALUE: Final = "value"
REDIS_TIMESTAMP: Final = "timestamp"

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
# A time as Postgres writes it: up to its second, perhaps a fraction of that, the zone.
_SECOND_BYTES: Final = len("2024-06-07 12:00:00")
_ZONE_BYTES: Final = len("+00")
_SPECVERSION: Final = b"1.0"
# So that sequences are in the order of their text, too: as many as 2^31 - 1 has.
_SEQUENCE_DIGITS: Final = 10
_SEQUENCE_TYPE: Final = ("ce_sequencetype", b"Integer")
_CONSTANT: Final = (
    ("ce_source", b"/payments"),
    ("ce_specversion", _SPECVERSION),
    ("content-type", b"application/json"),
)


class EnvelopeError(ValueError):
    """A message that cannot be read: which topic, which header, and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message as a consumer sees it.

    `sequence` counts a payment's public events 1, 2, 3 ...; work messages have none but name the
    event that caused them. `headers` are all of them, as received.
    """

    id: UUID
    type: str
    topic: str
    key: str
    sequence: int | None
    causation_id: UUID | None
    tenant_id: str
    traceparent: str | None
    tracestate: str | None
    occurred_at: datetime
    value: bytes
    headers: Mapping[str, bytes]


class OutboxRow(NamedTuple):
    """A row of the outbox as Postgres writes it: text, UTF-8, times in ISO format and UTC.

    Bytes, and a tuple, because the relay passes tens of thousands of them a second from one
    protocol to another without looking inside. The fields are columns of the table; rows of a
    release before one of the last two have none.
    """

    id: bytes
    aggregatetype: bytes
    aggregateid: bytes
    type: bytes
    payload: bytes
    tenant_id: bytes
    sequence: bytes | None
    causationid: bytes | None
    traceparent: bytes | None
    occurred_at: bytes
    recorded_at: bytes
    position: bytes | None = None
    tracestate: bytes | None = None


def headers_of(row: OutboxRow, lsn: bytes | None) -> list[tuple[str, bytes]]:
    """The headers of a row's message.

    `lsn` is the commit's position in the WAL as Postgres writes it (`16/B374D848`); a message
    that was published from the table has none, because the table does not know it.
    """
    headers = [
        ("ce_id", row.id),
        ("ce_type", row.type),
        ("ce_time", rfc3339(row.occurred_at)),
        ("ce_subject", row.aggregateid),
        ("ce_partitionkey", row.aggregateid),
        ("ce_tenantid", row.tenant_id),
        *_CONSTANT,
        ("id", row.id),
    ]
    if row.sequence is not None:
        headers.append(("ce_sequence", row.sequence.rjust(_SEQUENCE_DIGITS, b"0")))
        headers.append(_SEQUENCE_TYPE)
    if row.causationid is not None:
        headers.append(("ce_causationid", row.causationid))
    if row.traceparent is not None:
        headers.append(("traceparent", row.traceparent))
    if row.tracestate is not None:
        headers.append(("tracestate", row.tracestate))
    if lsn is not None:
        headers.append(("lsn", lsn))
    return headers


def unix_ms(timestamptz: bytes) -> int:
    """A time in whole milliseconds since 1970, rounded down, from what Postgres writes in UTC."""
    fraction = timestamptz[_SECOND_BYTES + 1 : -_ZONE_BYTES]
    return _second_ms(timestamptz[:_SECOND_BYTES]) + int(fraction.ljust(3, b"0")[:3])


@lru_cache(maxsize=64)  # rows come in the order of their times, or nearly
def _second_ms(second: bytes) -> int:
    return (datetime.fromisoformat(f"{second.decode()}+00:00") - _EPOCH) // _MILLISECOND


def rfc3339(timestamptz: bytes) -> bytes:
    """A time as RFC 3339 in UTC, from what Postgres writes in a session whose zone is UTC.

    Raises `ValueError` for a time in another zone: that would be a wrong time, not a wrong format.
    """
    if not timestamptz.endswith(b"+00"):
        raise ValueError(f"{timestamptz!r} is not in UTC: the session's time zone is wrong")
    return timestamptz[:-_ZONE_BYTES].replace(b" ", b"T") + b"Z"


def from_kafka(
    topic: str, key: bytes | None, value: bytes | None, headers: Iterable[tuple[str, bytes | None]]
) -> Message:
    """The message in a Kafka record. Raises `EnvelopeError`.

    A header of null is none: so Kafka Connect, and Debezium on it, says that a column is null.
    """
    told = {name: said for name, said in headers if said is not None}
    return _parse(topic, key, value, told)


def from_redis(topic: str, fields: Mapping[bytes, bytes]) -> Message:
    """The message in an entry of a Redis Stream. Raises `EnvelopeError`."""
    headers = {name.decode(errors="replace"): value for name, value in fields.items()}
    key = headers.pop(REDIS_KEY, None)
    value = headers.pop(REDIS_VALUE, None)
    headers.pop(REDIS_TIMESTAMP, None)
    return _parse(topic, key, value, headers)


def _parse(
    topic: str, key: bytes | None, value: bytes | None, headers: Mapping[str, bytes]
) -> Message:
    if key is None or value is None:
        raise EnvelopeError(f"{topic}: a message without a key or without a value")
    fields = _Fields(topic, headers)
    if fields.text("ce_specversion") != _SPECVERSION.decode():
        fields.refuse("ce_specversion", "only CloudEvents 1.0 is understood")
    return Message(
        id=fields.uuid("ce_id"),
        type=fields.text("ce_type"),
        topic=topic,
        key=fields.decoded("key", key),
        sequence=fields.integer("ce_sequence") if "ce_sequence" in headers else None,
        causation_id=fields.uuid("ce_causationid") if "ce_causationid" in headers else None,
        tenant_id=fields.text("ce_tenantid"),
        traceparent=fields.text("traceparent") if "traceparent" in headers else None,
        tracestate=fields.text("tracestate") if "tracestate" in headers else None,
        occurred_at=fields.time("ce_time"),
        value=value,
        headers=headers,
    )


@dataclass(frozen=True, slots=True)
class _Fields:
    """Reads one header after the other and says which one is wrong."""

    topic: str
    headers: Mapping[str, bytes]

    def text(self, name: str) -> str:
        value = self.headers.get(name)
        if value is None:
            self.refuse(name, "is missing")
        return self.decoded(name, value)

    def decoded(self, name: str, value: bytes) -> str:
        try:
            return value.decode()
        except UnicodeDecodeError:
            self.refuse(name, "is not UTF-8")

    def uuid(self, name: str) -> UUID:
        text = self.text(name)
        try:
            return UUID(text)
        except ValueError:
            self.refuse(name, f"{text!r} is not a UUID")

    def integer(self, name: str) -> int:
        text = self.text(name)
        if not (text.isascii() and text.isdecimal()):
            self.refuse(name, f"{text!r} is not a count")
        return int(text)

    def time(self, name: str) -> datetime:
        text = self.text(name)
        try:
            instant = datetime.fromisoformat(text)
        except ValueError:
            self.refuse(name, f"{text!r} is not a time")
        if instant.tzinfo is None:
            self.refuse(name, f"{text!r} has no time zone")
        return instant

    def refuse(self, name: str, why: str) -> NoReturn:
        raise EnvelopeError(f"{self.topic}: {name}: {why}")
