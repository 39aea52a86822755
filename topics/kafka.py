"""The one place that builds a client of Kafka; what a cluster asks of all is in `kafka_security`.

Every client is told an address and who it is; what else it is told, its user decides. Nobody
commits an offset by the clock: what is done is committed, and nothing else.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, TypedDict

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.client import AIOKafkaClient, CoordinationType
from aiokafka.errors import (
    BrokerNotAvailableError,
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    KafkaError,
    NoError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    for_code,
)
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.group import HeartbeatRequest

from process.addresses import KafkaAddress, SaslClient, SaslToken
from topics.header_names import reading_any_name
from topics.kafka_security import REFUSED, connection, hang_up, secured
from topics.names import TOPICS, Topic

AWAY: Final = (KafkaError, OSError)

_ASKING: Final = "payments-asking"
# What Kafka's own guides call safe: three copies, of which two must have a message to ack it.
_REPLICAS_WANTED: Final = 3
# A killed worker's partitions move on after this; Faust's default is a minute.
_SESSION_TIMEOUT_S: Final = 10.0
_COMMIT_INTERVAL_S: Final = 1.0
_LOOK_AGAIN_S: Final = 0.05
_LOOKS_MAX: Final = 100


class TopicMissing(KafkaError):  # type: ignore[misc]  # aiokafka is untyped
    """A topic is not there and we may not create it: whoever may will."""


class FaustOptions(TypedDict):
    """What `faust.App` takes of a cluster and a group, beside its credentials."""

    broker: str
    consumer_auto_offset_reset: str
    consumer_group_instance_id: str | None
    broker_session_timeout: float
    broker_heartbeat_interval: float
    broker_commit_interval: float


def consumer(
    address: KafkaAddress, client_id: str, *topics: str, **options: object
) -> AIOKafkaConsumer:
    """A consumer, not started yet; `options` are aiokafka's own."""
    made = AIOKafkaConsumer(
        *topics, client_id=client_id, enable_auto_commit=False, **_reached(address), **options
    )
    return reading_any_name(made)


@asynccontextmanager
async def reader(
    address: KafkaAddress, client_id: str, *topics: str, **options: object
) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer of no group, started in the block. Raises aiokafka's `KafkaError`."""
    opened = consumer(address, client_id, *topics, **options)
    try:
        async with telling_why(address):
            await opened.start()
        yield opened
    finally:
        await opened.stop()


def producer(address: KafkaAddress, client_id: str, **options: object) -> AIOKafkaProducer:
    """A producer, not started yet; `options` are aiokafka's own."""
    return AIOKafkaProducer(client_id=client_id, **_reached(address), **options)


def client(address: KafkaAddress, client_id: str, **options: object) -> AIOKafkaClient:
    """A client that sends single requests, not connected yet; `options` are aiokafka's own."""
    return AIOKafkaClient(client_id=client_id, **_reached(address), **options)


@asynccontextmanager
async def administration(address: KafkaAddress) -> AsyncIterator[AIOKafkaAdminClient]:
    """An administrator, connected in the block. Raises aiokafka's `KafkaError`."""
    admin = AIOKafkaAdminClient(client_id="payments-admin", **_reached(address))
    try:
        async with telling_why(address):
            await admin.start()
        yield admin
    finally:
        await admin.close()


def faust_options(address: KafkaAddress, member: str | None) -> FaustOptions:
    """What a Faust app is told of the cluster, and of the member it is in its group if named.

    A member that comes back under the same name gets its partitions back without a
    rebalance, and does not leave the group when it stops (static membership).
    """
    return FaustOptions(
        broker=f"kafka://{address.bootstrap_servers.replace(',', ';kafka://')}",
        consumer_auto_offset_reset="earliest",
        consumer_group_instance_id=member,
        broker_session_timeout=_SESSION_TIMEOUT_S,
        broker_heartbeat_interval=_SESSION_TIMEOUT_S / 3,
        broker_commit_interval=_COMMIT_INTERVAL_S,
    )


@asynccontextmanager
async def telling_why(address: KafkaAddress) -> AsyncIterator[None]:
    """Around what begins a client: raises why a broker refuses us, which the client only logs.

    Of a token it does not even know: that is asked beforehand.
    """
    if isinstance(address.sasl, SaslToken | SaslClient):
        await _ask_why(address)
    try:
        yield
    except KafkaConnectionError:
        await _ask_why(address)
        raise


async def _ask_why(address: KafkaAddress) -> None:
    with suppress(ConnectionError):
        await hang_up(await connection(address, _ASKING))


async def refuse_forbidden_reading(
    address: KafkaAddress, topics: Iterable[Topic], group: str | None = None
) -> None:
    """Raise what is REFUSED if we may not read the topics, or not as one of the group.

    Nothing comes of what is asked: a heartbeat of nobody, and not one byte of a topic.
    """
    asking = client(address, _ASKING)
    try:
        async with telling_why(address):
            await asking.bootstrap()
        if group is not None:
            node = await coordinator(asking, group)
            beat = await asking.send(node, HeartbeatRequest(group, -1, ""))
            _raise_if_refused(beat.error_code, f"the group {group}")
        await refuse_forbidden_topics(asking, [topic.name for topic in topics])
    finally:
        await asking.close()


async def coordinator(asking: AIOKafkaClient, group: str) -> int:
    """The broker that keeps the group. Raises aiokafka's `KafkaError`."""
    _any_broker(asking)
    try:
        node: int = await asking.coordinator_lookup(CoordinationType.GROUP, group)
    except GroupAuthorizationFailedError:
        raise GroupAuthorizationFailedError(f"we may not read the group {group}") from None
    return node


def _any_broker(asking: AIOKafkaClient) -> int:
    """One that the cluster names. Raises `KafkaError`: while it begins it may name none."""
    node: int | None = asking.get_random_node()
    if node is None:
        raise BrokerNotAvailableError("the cluster names no broker")
    return node


async def refuse_forbidden_topics(asking: AIOKafkaClient, names: Collection[str]) -> None:
    """Raise what is REFUSED if one may not be read; whether it is there is no matter."""
    if not names:
        return
    fetch = FetchRequest(0, 0, 0, 0, [(name, [(0, 0, 0)]) for name in names])
    for name, partitions in (await asking.send(_any_broker(asking), fetch)).topics:
        _raise_if_refused(partitions[0][1], f"the topic {name}")


def _raise_if_refused(error_code: int, what: str) -> None:
    error = for_code(error_code)
    if issubclass(error, REFUSED):
        raise error(f"we may not read {what}")


def _reached(address: KafkaAddress) -> dict[str, object]:
    return {"bootstrap_servers": address.bootstrap_servers, **secured(address)}


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A topic that exists with another number of partitions than declared, or fewer replicas.

    `what` is `partitions` or `replicas`; so many are wanted, where the cluster can have them.
    """

    topic: str
    what: str
    declared: int
    actual: int


@dataclass(frozen=True, slots=True)
class Report:
    """What `create_missing` found and did."""

    created: tuple[str, ...]
    mismatches: tuple[Mismatch, ...]


async def create_missing(address: KafkaAddress, topics: tuple[Topic, ...] = TOPICS) -> Report:
    """Create the topics a cluster lacks, with their retention; leave the others alone.

    A topic that exists is never changed: somebody may have sized it on purpose. What differs from
    the declaration is reported, because a partition count decides which order consumers see.
    Raises aiokafka's `KafkaError` when the cluster does not answer or refuses.
    """
    async with administration(address) as admin:
        existing = set(await admin.list_topics())
        missing = [topic for topic in topics if topic.name not in existing]
        created = await _create(admin, missing) if missing else ()
        return Report(created, await _mismatches(admin, topics))


async def _create(admin: AIOKafkaAdminClient, topics: list[Topic]) -> tuple[str, ...]:
    brokers = (await admin.describe_cluster())["brokers"]
    replicas = min(_REPLICAS_WANTED, len(brokers))
    answer = await admin.create_topics([_new_topic(topic, replicas) for topic in topics])
    created = []
    for name, code, *details in answer.topic_errors:
        error = for_code(code)
        if error is NoError:
            created.append(name)
        elif error in {ClusterAuthorizationFailedError, TopicAuthorizationFailedError}:
            raise TopicMissing(f"topic {name} is not there, and we may not create it")
        elif error is not TopicAlreadyExistsError:  # another process was faster
            raise error(f"topic {name}: {', '.join(map(str, details))}")
    return tuple(created)


def _new_topic(topic: Topic, replicas: int) -> NewTopic:
    settings = {"retention.ms": str(topic.retention // timedelta(milliseconds=1))}
    if replicas >= _REPLICAS_WANTED:
        settings["min.insync.replicas"] = str(replicas - 1)
    return NewTopic(topic.name, topic.partitions, replicas, topic_configs=settings)


async def _mismatches(
    admin: AIOKafkaAdminClient, topics: tuple[Topic, ...]
) -> tuple[Mismatch, ...]:
    described = await _replicas(admin, [topic.name for topic in topics])
    wanted = min(_REPLICAS_WANTED, len((await admin.describe_cluster())["brokers"]))
    mismatches = []
    for topic in topics:
        replicas = described.get(topic.name)
        if not replicas:
            continue
        if len(replicas) != topic.partitions:
            each = Mismatch(topic.name, "partitions", topic.partitions, len(replicas))
            mismatches.append(each)
        if min(replicas) < wanted:
            mismatches.append(Mismatch(topic.name, "replicas", wanted, min(replicas)))
    return tuple(mismatches)


async def _replicas(admin: AIOKafkaAdminClient, names: Collection[str]) -> dict[str, list[int]]:
    """How many each partition has; of a topic that was just made a broker knows a moment later."""
    found: dict[str, list[int]] = {}
    for _ in range(_LOOKS_MAX):
        found = {
            topic["topic"]: [len(each["replicas"]) for each in topic["partitions"]]
            for topic in await admin.describe_topics([*names])
        }
        if all(found.get(name) for name in names):
            break
        await asyncio.sleep(_LOOK_AGAIN_S)
    return found


async def grow(address: KafkaAddress, topics: Iterable[Topic]) -> bool:
    """Give topics as many partitions as they are declared with; whether we may.

    Raises aiokafka's `KafkaError`.
    """
    wanted = {topic.name: NewPartitions(topic.partitions) for topic in topics}
    async with administration(address) as admin:
        with suppress(ClusterAuthorizationFailedError, TopicAuthorizationFailedError):
            await admin.create_partitions(wanted)
            return True
    return False
