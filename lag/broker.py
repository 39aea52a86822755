"""What a Kafka-protocol broker can be asked about groups and offsets.

One client asks; it is opened when needed and dropped by `close`, which is how a caller recovers
from any failure. Topics are never created by asking for them: only topics the broker lists are
looked at. What one broker of several does not say is left out of the answer, or None in it.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    IncompatibleBrokerVersion,
    KafkaError,
    for_code,
)
from aiokafka.protocol.admin import DescribeGroupsRequest, ListGroupsRequest
from aiokafka.protocol.commit import OffsetFetchRequest
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.offset import OffsetRequest, OffsetResetStrategy
from aiokafka.structs import TopicPartition

from lag.consumer_protocol import ConsumerGroupDescribeRequest
from topics import kafka

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping

    from aiokafka.client import AIOKafkaClient

    from process.addresses import KafkaAddress

KeyT = TypeVar("KeyT")
AnswerT = TypeVar("AnswerT")

CLIENT_ID: Final = "payments-lag"
REQUEST_TIMEOUT_MS: Final = 3_000
_READ_COMMITTED: Final = 1
_ANY_REPLICA: Final = -1
# What DescribeGroups says of a name nobody has, and of groups of the newer protocol.
_DEAD: Final = "Dead"


@dataclass(frozen=True, slots=True)
class GroupOnBroker:
    """A group's members, what they have if that can be read, and its committed offsets."""

    members: int
    assigned: frozenset[TopicPartition] | None
    committed: Mapping[TopicPartition, int]

    def owns(self, at: TopicPartition) -> bool:
        """Whether a member has the partition, as far as one can tell."""
        return self.assigned is None or at in self.assigned


@dataclass(frozen=True, slots=True)
class Bounds:
    """The offsets a partition holds: `first` up to, and without, `end`, its last stable offset."""

    first: int
    end: int


@dataclass(frozen=True, slots=True)
class _Members:
    """A group's members, and what they have; None where one's assignment cannot be read."""

    count: int
    assigned: frozenset[TopicPartition] | None


class Broker:
    """A connection to the cluster; not for use by two measurements at once."""

    def __init__(self, address: KafkaAddress) -> None:
        self._address = address
        self._client: AIOKafkaClient | None = None
        self._coordinators: dict[str, int] = {}

    async def close(self) -> None:
        """Drop the connection; what is asked next opens a new one."""
        client, self._client = self._client, None
        self._coordinators.clear()
        if client is not None:
            await client.close()

    async def names(self) -> set[str]:
        """The consumer groups the brokers list, of whichever protocol."""
        client = await self._connected()
        listed = await _of_each(_brokers(client), lambda broker: _listed(client, broker))
        return set[str]().union(*(names for names in listed.values() if names is not None))

    async def groups(self, names: Collection[str]) -> dict[str, GroupOnBroker | None]:
        """Each group by name; None where its broker does not say, absent where there is none.

        Raises KafkaError where none of them can be asked.
        """
        client = await self._connected()
        listed = await _of_each(_brokers(client), lambda broker: _listed(client, broker))
        asked = {name for some in listed.values() for name in some or () if name in names}
        if None in listed.values():
            # Whoever is silent may keep those that the others do not list.
            asked = set(names)
        return await _of_each(sorted(asked), lambda name: self._group(client, name))

    async def bounds(self, topics: Collection[str]) -> dict[TopicPartition, Bounds | None]:
        """Of every partition of those of the topics that exist; None where no leader says."""
        client = await self._connected()
        answer = await client.send(client.get_random_node(), MetadataRequest(None))
        leaders = {
            TopicPartition(topic["topic"], partition["partition"]): partition["leader"]
            for topic in answer.to_object()["topics"]
            if topic["topic"] in topics
            for partition in topic["partitions"]
        }
        if not leaders:
            return {}
        led: defaultdict[int, list[TopicPartition]] = defaultdict(list)
        for at, leader in leaders.items():
            led[leader].append(at)
        answers = await _of_each(led, lambda leader: _bounds(client, leader, led[leader]))
        known = {at: each for some in answers.values() if some for at, each in some.items()}
        return {at: known.get(at) for at in leaders}

    async def refuse_hidden(self, groups: Collection[str], topics: Collection[str]) -> None:
        """Raise if they are only missing because we may not know of them.

        A broker lists what one may describe, and says nothing of the rest.
        """
        client = await self._connected()
        await kafka.refuse_forbidden_topics(client, topics)
        for name in groups:
            try:
                await kafka.coordinator(client, name)
            except GroupAuthorizationFailedError:
                raise
            except KafkaError:  # there was never a group
                return

    async def _group(self, client: AIOKafkaClient, name: str) -> GroupOnBroker:
        try:
            return await self._ask(client, name)
        except GroupAuthorizationFailedError:
            raise
        except KafkaError:
            # Another may be its coordinator by now.
            if self._coordinators.pop(name, None) is None:
                raise
            return await self._ask(client, name)

    async def _ask(self, client: AIOKafkaClient, name: str) -> GroupOnBroker:
        node = self._coordinators.get(name)
        if node is None:
            node = await kafka.coordinator(client, name)
            self._coordinators[name] = node
        # One at a time: aiokafka 0.14 decodes only the first group of an answer at version 3.
        described = (await client.send(node, DescribeGroupsRequest([name]))).groups[0]
        if for_code(described[0]) is GroupAuthorizationFailedError:
            raise GroupAuthorizationFailedError(f"we may not read the group {name}")
        _raise_for(described[0])
        if described[2] == _DEAD:
            members = await _of_newer_protocol(client, node, name)
        else:
            members = _members([_assigned(member[4]) for member in described[5]])
        fetched = await client.send(node, OffsetFetchRequest(name, None))
        committed: dict[TopicPartition, int] = {}
        for topic, partitions in fetched.topics:
            for partition, offset, _, error_code in partitions:
                _raise_for(error_code)
                if offset >= 0:
                    committed[TopicPartition(topic, partition)] = offset
        return GroupOnBroker(members.count, members.assigned, committed)

    async def _connected(self) -> AIOKafkaClient:
        if self._client is None:
            client = kafka.client(self._address, CLIENT_ID, request_timeout_ms=REQUEST_TIMEOUT_MS)
            async with kafka.telling_why(self._address):
                await client.bootstrap()
            self._client = client
        return self._client


async def _of_each(
    keys: Iterable[KeyT], ask: Callable[[KeyT], Awaitable[AnswerT]]
) -> dict[KeyT, AnswerT | None]:
    """The answer for each, all asked at once; None for a failure, unless there is nothing else."""
    asked = list(keys)
    answers = await asyncio.gather(*(ask(key) for key in asked), return_exceptions=True)
    failures = [each for each in answers if isinstance(each, BaseException)]
    for failure in failures:
        is_hidden = isinstance(failure, GroupAuthorizationFailedError)
        if not isinstance(failure, KafkaError) or is_hidden or len(failures) == len(asked):
            raise failure
    return {
        key: None if isinstance(answer, BaseException) else answer
        for key, answer in zip(asked, answers, strict=True)
    }


def _brokers(client: AIOKafkaClient) -> list[int]:
    return [broker.nodeId for broker in client.cluster.brokers()]


async def _listed(client: AIOKafkaClient, broker: int) -> set[str]:
    """The consumer groups of which a broker is the coordinator."""
    answer = await client.send(broker, ListGroupsRequest())
    _raise_for(answer.error_code)
    return {name for name, protocol in answer.groups if protocol in {"consumer", ""}}


async def _of_newer_protocol(client: AIOKafkaClient, node: int, name: str) -> _Members:
    """Of a group of the newer protocol; of one that is not there, nobody."""
    try:
        answer = await client.send(node, ConsumerGroupDescribeRequest(name))
    except IncompatibleBrokerVersion:
        return _Members(0, frozenset())
    (group,) = answer.to_object()["groups"]
    if group["error_code"]:  # no group of that name, or not of this protocol
        return _Members(0, frozenset())
    return _members(
        [
            frozenset(
                TopicPartition(topic["topic_name"], partition)
                for topic in member["assignment"]["topic_partitions"]
                for partition in topic["partitions"]
            )
            for member in group["members"]
        ]
    )


async def _bounds(
    client: AIOKafkaClient, leader: int, partitions: list[TopicPartition]
) -> dict[TopicPartition, Bounds]:
    """Of the partitions a broker leads; those it is no longer the leader of are left out."""
    firsts, ends = [
        await _offsets(client, leader, partitions, strategy)
        for strategy in (OffsetResetStrategy.EARLIEST, OffsetResetStrategy.LATEST)
    ]
    return {at: Bounds(first, ends[at]) for at, first in firsts.items() if at in ends}


async def _offsets(
    client: AIOKafkaClient, leader: int, partitions: list[TopicPartition], strategy: int
) -> dict[TopicPartition, int]:
    wanted: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    for at in partitions:
        wanted[at.topic].append((at.partition, strategy))
    request = OffsetRequest(_ANY_REPLICA, _READ_COMMITTED, list(wanted.items()))
    answer = await client.send(leader, request)
    return {
        TopicPartition(topic, partition): offset
        for topic, found in answer.topics
        for partition, error_code, _, offset in found
        if not error_code
    }


def _members(assignments: list[frozenset[TopicPartition] | None]) -> _Members:
    legible = [each for each in assignments if each is not None]
    if len(legible) < len(assignments):
        return _Members(len(assignments), None)
    return _Members(len(assignments), frozenset[TopicPartition]().union(*legible))


def _assigned(assignment: object) -> frozenset[TopicPartition] | None:
    """What a member has; none while the group is about to divide anew."""
    if not isinstance(assignment, bytes) or not assignment:
        return frozenset()
    with suppress(ValueError, TypeError):  # a member of a protocol of its own
        return frozenset(
            TopicPartition(topic, partition)
            for topic, partitions in ConsumerProtocolMemberAssignment.decode(assignment).assignment
            for partition in partitions
        )
    return None


def _raise_for(error_code: int) -> None:
    if error_code:
        error: KafkaError = for_code(error_code)()
        raise error
