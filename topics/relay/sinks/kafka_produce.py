"""Sends batches to the leaders of their partitions, for topics that are what they were.

A batch is addressed to its topic by the id: one that was deleted and made anew takes none that was
meant for the one before. There is one connection to each leader, none is opened again, and nothing
is sent twice: whatever goes wrong ends the session. aiokafka's producer does neither, so this is
ours; aiokafka's are the connections and the batches' format. Source: Kafka's protocol, Produce
version 13 (brokers from 4.1 on have it); older ones are asked by name.
"""

import contextlib
import struct
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import ClassVar, Final, NamedTuple
from uuid import UUID

from aiokafka import TopicPartition
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import (
    KafkaError,
    LeaderNotAvailableError,
    NoError,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.types import (
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
    UnsignedVarInt32,
)
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from process.addresses import KafkaAddress
from topics.kafka_metadata import TopicNow, Uuid
from topics.kafka_security import connection_to, hang_up
from topics.relay.sinks.broker_watch import BrokerWatch
from topics.relay.sinks.kafka_fence import Producing

_CLIENT_ID: Final = "payments-relay"
_PRODUCE: Final = 0
_VERSION: Final = 13
_ALL_REPLICAS: Final = -1
_TIMEOUT_MS: Final = 15_000
_MAGIC: Final = 2
# Behind the greatest number comes 0.
_SEQUENCE_MAX: Final = 0x7FFFFFFF
# Newer than aiokafka.
_UNKNOWN_TOPIC_ID: Final = 100
_TEXT: Final = CompactString("utf-8")
_NO_TAGS: Final = b"\x00"


class Batch(NamedTuple):
    """Messages of a partition, as they are sent."""

    to: TopicPartition
    records: bytes | bytearray


class Written(NamedTuple):
    """What became of one: where it stands (-1 if the broker does not say), or why it does not."""

    offset: int
    error: KafkaError | None


def batch_builder(producing: Producing, sequence: int, bytes_max: int) -> DefaultRecordBatchBuilder:
    """A batch of ours whose first message is the so-manyth of its partition, counted from 0."""
    return DefaultRecordBatchBuilder(_MAGIC, 0, 0, *producing, sequence & _SEQUENCE_MAX, bytes_max)


class _Response(Response):  # type: ignore[misc]  # aiokafka is untyped
    API_KEY = _PRODUCE
    API_VERSION = _VERSION
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(
                ("topic_id", Uuid),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("error_code", Int16),
                        ("offset", Int64),
                        ("timestamp", Int64),
                        ("log_start_offset", Int64),
                        (
                            "record_errors",
                            CompactArray(
                                ("index", Int32), ("message", _TEXT), ("tags", TaggedFields)
                            ),
                        ),
                        ("error_message", _TEXT),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("throttle_time_ms", Int32),
        ("tags", TaggedFields),
    )


class _Encoded(RequestStruct):  # type: ignore[misc]  # aiokafka is untyped
    """A request put together at once: by a schema each part would be copied for each level."""

    FLEXIBLE_VERSION = True
    API_KEY = _PRODUCE
    API_VERSION = _VERSION
    RESPONSE_TYPE = _Response
    SCHEMA = Schema(("encoded", Int32))

    def encode(self) -> bytes:
        encoded: bytes = self.encoded
        return encoded


class _Produce(Request[_Encoded]):  # type: ignore[misc]  # aiokafka is untyped
    API_KEY: ClassVar[int] = _PRODUCE

    def __init__(self, batches: Mapping[bytes, Sequence[Batch]]) -> None:
        self._batches = batches

    def build(self, request_struct_class: type[_Encoded]) -> _Encoded:
        # Of no transaction.
        parts: list[bytes | bytearray] = [
            b"\x00",
            struct.pack(">hi", _ALL_REPLICAS, _TIMEOUT_MS),
            _length(self._batches),
        ]
        for topic_id, batches in self._batches.items():
            parts += (topic_id, _length(batches))
            for at, records in batches:
                parts += (struct.pack(">i", at.partition), _length(records), records, _NO_TAGS)
            parts.append(_NO_TAGS)
        parts.append(_NO_TAGS)
        return request_struct_class(b"".join(parts))


def _length(of: Mapping[bytes, object] | Sequence[object]) -> bytes:
    encoded: bytes = UnsignedVarInt32.encode(len(of) + 1)
    return encoded


class Leader:
    """A broker that leads partitions."""

    def __init__(self, opened: AIOKafkaConnection, topics: Mapping[str, TopicNow]) -> None:
        self.watch = BrokerWatch(opened)
        self._connection = opened
        self._ids = {name: UUID(topic.id).bytes for name, topic in topics.items() if topic.id}
        self._names = {topic_id: name for name, topic_id in self._ids.items()}

    async def produce(self, batches: Sequence[Batch]) -> dict[TopicPartition, Written]:
        """Send these, each of another partition; what became of each.

        Raises aiokafka's `KafkaError`, or OSError, when the connection ends.
        """
        by_topic: defaultdict[str, list[Batch]] = defaultdict(list)
        for batch in batches:
            by_topic[batch.to.topic].append(batch)
        try:
            answer = await self._connection.send(
                _Produce({self._ids[name]: each for name, each in by_topic.items()})
            )
        except (KeyError, NotImplementedError):
            answer = await self._connection.send(_by_name(by_topic))
        return {
            TopicPartition(self._names.get(topic, topic), number): Written(offset, _error(code))
            for topic, partitions, *_ in answer.topics
            for number, code, offset, *_ in partitions
        }

    async def close(self) -> None:
        await hang_up(self._connection)


def _by_name(by_topic: Mapping[str, Sequence[Batch]]) -> ProduceRequest:
    named = [
        (name, [(at.partition, records) for at, records in batches])
        for name, batches in by_topic.items()
    ]
    return ProduceRequest(None, _ALL_REPLICAS, _TIMEOUT_MS, named)


def _error(code: int) -> KafkaError | None:
    if code == _UNKNOWN_TOPIC_ID:
        return UnknownTopicOrPartitionError("the topic was deleted, or made anew")
    kind = for_code(code)
    return None if kind is NoError else kind(f"error {code}")


@contextlib.asynccontextmanager
async def leaders(
    address: KafkaAddress,
    watch: BrokerWatch,
    topics: Mapping[str, TopicNow],
    partitions: Collection[TopicPartition],
) -> AsyncIterator[Mapping[TopicPartition, Leader]]:
    """Who leads each partition, connected. Raises `KafkaError`, or OSError."""
    brokers, leading = await watch.leaders_now(topics)
    if unled := [at for at in partitions if leading.get(at) not in brokers]:
        raise LeaderNotAvailableError(f"nobody leads {unled}")
    async with contextlib.AsyncExitStack() as stack:
        opened: dict[int, Leader] = {}
        for node in sorted({leading[at] for at in partitions}):
            connection = await connection_to(brokers[node], address, _CLIENT_ID)
            opened[node] = Leader(connection, topics)
            stack.push_async_callback(opened[node].close)
        yield {at: opened[leading[at]] for at in partitions}
