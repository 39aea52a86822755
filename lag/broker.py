"""What a Kafka-protocol broker can be asked about groups, offsets and ages of messages.

One client asks, one consumer without a group reads; both are opened when needed and
dropped by `close`, which is how a caller recovers from any failure. Topics are never
created by asking for them: only topics the broker lists are looked at.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import GroupAuthorizationFailedError, KafkaError, for_code
from aiokafka.protocol.admin import DescribeGroupsRequest, ListGroupsRequest
from aiokafka.protocol.commit import OffsetFetchRequest
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.structs import TopicPartition

from topics import kafka

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from aiokafka import AIOKafkaConsumer
    from aiokafka.client import AIOKafkaClient

    from process.addresses import KafkaAddress

_CLIENT_ID: Final = "payments-lag"
_REQUEST_TIMEOUT_MS: Final = 3_000
# An age is a refinement of a lag that is known already: it may take so long, then it is left out.
_READ_SECONDS_MAX: Final = 1.0
# The first message of a partition is wanted, not the rest; a producer's batch is 16 KiB.
_FETCH_BYTES_MAX: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class GroupOnBroker:
    """A group's members, the topics assigned to them, and its committed offsets."""

    members: int
    topics: frozenset[str]
    committed: Mapping[TopicPartition, int]


@dataclass(frozen=True, slots=True)
class Bounds:
    """The offsets a partition holds: `first` up to, and without, `end`."""

    first: int
    end: int


class Broker:
    """A connection to the cluster; not for use by two measurements at once."""

    def __init__(self, address: KafkaAddress) -> None:
        self._address = address
        self._client: AIOKafkaClient | None = None
        self._reader: AIOKafkaConsumer | None = None
        self._coordinators: dict[str, int] = {}
        self._ages: dict[tuple[TopicPartition, int], float] = {}

    async def close(self) -> None:
        """Drop both connections; what is asked next opens new ones."""
        client, reader, self._client, self._reader = self._client, self._reader, None, None
        self._coordinators.clear()
        try:
            if client is not None:
                await client.close()
        finally:
            if reader is not None:
                await reader.stop()

    async def groups(self) -> dict[str, GroupOnBroker]:
        """Every consumer group the brokers list, by name."""
        client = await self._connected_client()
        names: set[str] = set()
        for broker in client.cluster.brokers():
            answer = await client.send(broker.nodeId, ListGroupsRequest())
            _raise_for(answer.error_code)
            names.update(name for name, protocol in answer.groups if protocol in {"consumer", ""})
        return {name: await self._group(client, name) for name in sorted(names)}

    async def bounds(self, topics: Collection[str]) -> dict[TopicPartition, Bounds]:
        """The bounds of every partition of those of the topics that exist."""
        client, reader = await self._connected_client(), await self._connected_reader()
        answer = await client.send(client.get_random_node(), MetadataRequest(None))
        found = [
            TopicPartition(topic["topic"], partition["partition"])
            for topic in answer.to_object()["topics"]
            if topic["topic"] in topics
            for partition in topic["partitions"]
        ]
        if not found:
            return {}
        first, end = await reader.beginning_offsets(found), await reader.end_offsets(found)
        return {at: Bounds(first[at], end[at]) for at in found}

    async def refuse_hidden(self, groups: Collection[str], topics: Collection[str]) -> None:
        """Raise if they are only missing because we may not know of them.

        A broker lists what one may describe, and says nothing of the rest.
        """
        client = await self._connected_client()
        await kafka.refuse_forbidden_topics(client, topics)
        for name in groups:
            try:
                await kafka.coordinator(client, name)
            except GroupAuthorizationFailedError:
                raise
            except KafkaError:  # there was never a group
                return

    async def timestamps(
        self, offsets: Mapping[TopicPartition, int]
    ) -> dict[TopicPartition, float]:
        """When the message at or after each offset was produced, in seconds since 1970.

        What cannot be read within a second is left out; what was read is remembered.
        """
        wanted = set(offsets.items())
        missing = {at: offset for at, offset in wanted if (at, offset) not in self._ages}
        if missing:
            reader = await self._connected_reader()
            read = await _first_timestamps(reader, missing)
            self._ages.update({(at, missing[at]): seconds for at, seconds in read.items()})
        return {at: self._ages[at, offset] for at, offset in wanted if (at, offset) in self._ages}

    def forget_ages_but(self, kept: Collection[tuple[TopicPartition, int]]) -> None:
        """Drop the remembered timestamps of all but these positions."""
        self._ages = {position: self._ages[position] for position in kept if position in self._ages}

    async def _group(self, client: AIOKafkaClient, name: str) -> GroupOnBroker:
        node = self._coordinators.get(name)
        if node is None:
            node = await kafka.coordinator(client, name)
            self._coordinators[name] = node
        # One at a time: aiokafka 0.14 decodes only the first group of an answer at version 3.
        described = (await client.send(node, DescribeGroupsRequest([name]))).groups[0]
        _raise_for(described[0])
        members: Sequence[tuple[object, ...]] = described[5]
        fetched = await client.send(node, OffsetFetchRequest(name, None))
        committed: dict[TopicPartition, int] = {}
        for topic, partitions in fetched.topics:
            for partition, offset, _, error_code in partitions:
                _raise_for(error_code)
                if offset >= 0:
                    committed[TopicPartition(topic, partition)] = offset
        topics = frozenset(topic for member in members for topic in _assigned(member[4]))
        return GroupOnBroker(len(members), topics, committed)

    async def _connected_client(self) -> AIOKafkaClient:
        if self._client is None:
            client = kafka.client(self._address, _CLIENT_ID, request_timeout_ms=_REQUEST_TIMEOUT_MS)
            async with kafka.telling_why(self._address):
                await client.bootstrap()
            self._client = client
        return self._client

    async def _connected_reader(self) -> AIOKafkaConsumer:
        if self._reader is None:
            reader = kafka.consumer(
                self._address,
                _CLIENT_ID,
                auto_offset_reset="earliest",
                request_timeout_ms=_REQUEST_TIMEOUT_MS,
                max_partition_fetch_bytes=_FETCH_BYTES_MAX,
            )
            await reader.start()
            self._reader = reader
        return self._reader


async def _first_timestamps(
    reader: AIOKafkaConsumer, offsets: Mapping[TopicPartition, int]
) -> dict[TopicPartition, float]:
    reader.assign(list(offsets))
    for at, offset in offsets.items():
        reader.seek(at, offset)
    found: dict[TopicPartition, float] = {}
    deadline = time.monotonic() + _READ_SECONDS_MAX
    with suppress(KafkaError):  # one message that cannot be read must not hide every lag
        while len(found) < len(offsets) and (left := deadline - time.monotonic()) > 0:
            for at, messages in (await reader.getmany(timeout_ms=int(left * 1000) + 1)).items():
                found[at] = messages[0].timestamp / 1000
                reader.pause(at)
    reader.unsubscribe()
    return found


def _assigned(assignment: object) -> list[str]:
    if not isinstance(assignment, bytes) or not assignment:
        return []
    with suppress(ValueError, TypeError):  # a member of a protocol of its own
        return [
            topic for topic, _ in ConsumerProtocolMemberAssignment.decode(assignment).assignment
        ]
    return []


def _raise_for(error_code: int) -> None:
    if error_code:
        error: KafkaError = for_code(error_code)()
        raise error
