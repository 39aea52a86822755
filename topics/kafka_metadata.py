"""Asks a broker for what aiokafka's own metadata leaves out: the ids of topics.

A topic that was deleted and made again has its name, and another id. Source: Kafka's protocol,
Metadata version 10 (brokers from 2.8 on have it).
"""

from collections.abc import Collection, Mapping
from io import BytesIO
from typing import ClassVar, Final, NamedTuple
from uuid import UUID

from aiokafka.conn import AIOKafkaConnection
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.types import (
    AbstractType,
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

_METADATA: Final = 3
_VERSION: Final = 10
_UUID_BYTES: Final = 16
_NO_ID: Final = bytes(_UUID_BYTES)
_TEXT: Final = CompactString("utf-8")
_NO_TAGS: Final[Mapping[int, bytes]] = {}


class Uuid(AbstractType[bytes]):  # type: ignore[misc]  # aiokafka is untyped
    """An id of a topic, as it is sent."""

    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return value

    @classmethod
    def decode(cls, data: BytesIO) -> bytes:
        return data.read(_UUID_BYTES)


class _MetadataResponse(Response):  # type: ignore[misc]  # aiokafka is untyped
    API_KEY = _METADATA
    API_VERSION = _VERSION
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", _TEXT),
                ("port", Int32),
                ("rack", _TEXT),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", _TEXT),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", _TEXT),
                ("topic_id", Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_operations", Int32),
        ("tags", TaggedFields),
    )


class _MetadataRequest(RequestStruct):  # type: ignore[misc]  # aiokafka is untyped
    FLEXIBLE_VERSION = True
    API_KEY = _METADATA
    API_VERSION = _VERSION
    RESPONSE_TYPE = _MetadataResponse
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(("topic_id", Uuid), ("name", _TEXT), ("tags", TaggedFields)),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _Metadata(Request[_MetadataRequest]):  # type: ignore[misc]  # aiokafka is untyped
    API_KEY: ClassVar[int] = _METADATA

    def __init__(self, topics: Collection[str]) -> None:
        self._topics = topics

    def build(self, request_struct_class: type[_MetadataRequest]) -> _MetadataRequest:
        named = [(_NO_ID, name, _NO_TAGS) for name in self._topics]
        return request_struct_class(named, False, False, False, _NO_TAGS)  # noqa: FBT003 - as sent


class TopicNow(NamedTuple):
    """A topic as it is: its id (nothing from an old broker), and how many partitions it has."""

    id: str
    partitions: int


class Leaders(NamedTuple):
    """Host and port of each broker, and who leads each of a topic's partitions."""

    brokers: Mapping[int, tuple[str, int]]
    of: Mapping[tuple[str, int], int]


async def topics_now(
    connection: AIOKafkaConnection, topics: Collection[str]
) -> dict[str, TopicNow]:
    """Those of these topics that there are. Raises aiokafka's `KafkaError`."""
    answer = await _asked(connection, topics)
    return {
        each[1]: TopicNow(str(UUID(bytes=each[2])), len(each[4]))
        if answer.API_VERSION == _VERSION
        else TopicNow("", len(each[-1]))
        for each in answer.topics
        if each[0] == 0
    }


async def leaders_now(connection: AIOKafkaConnection, topics: Collection[str]) -> Leaders:
    """Those of these topics, as far as they have any. Raises aiokafka's `KafkaError`."""
    answer = await _asked(connection, topics)
    place = 4 if answer.API_VERSION == _VERSION else -1
    return Leaders(
        {node: (host, port) for node, host, port, *_ in answer.brokers},
        {
            (topic[1], number): leader
            for topic in answer.topics
            for _, number, leader, *_ in topic[place]
        },
    )


async def _asked(
    connection: AIOKafkaConnection, topics: Collection[str]
) -> _MetadataResponse | Response:
    try:
        return await connection.send(_Metadata(topics))
    except NotImplementedError:
        return await connection.send(MetadataRequest(list(topics)))
