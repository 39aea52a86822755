"""The one place that builds a client of Kafka; what a cluster asks of its clients is said here.

Every client is told an address and who it is; what else it is told, its user decides. Nobody
commits an offset by the clock: what is done is committed, and nothing else.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, TypedDict

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    KafkaError,
    NoError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    for_code,
)

from process.addresses import KafkaAddress
from topics.names import TOPICS, Topic

AWAY: Final = (KafkaError, OSError)
# What no credentials of ours may do. That they are wrong aiokafka keeps to itself.
REFUSED: Final = (ClusterAuthorizationFailedError, TopicAuthorizationFailedError)

# What Kafka's own guides call safe: three copies, of which two must have a message to ack it.
_REPLICAS_WANTED: Final = 3
# A killed worker's partitions move on after this; Faust's default is a minute.
_SESSION_TIMEOUT_S: Final = 10.0
_COMMIT_INTERVAL_S: Final = 1.0
_CONNECT_SECONDS_MAX: Final = 5.0


class FaustOptions(TypedDict):
    """What `faust.App` takes of a cluster and a group."""

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
    return AIOKafkaConsumer(
        *topics, client_id=client_id, enable_auto_commit=False, **_reached(address), **options
    )


@asynccontextmanager
async def reader(
    address: KafkaAddress, client_id: str, *topics: str, **options: object
) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer of no group, started in the block. Raises aiokafka's `KafkaError`."""
    opened = consumer(address, client_id, *topics, **options)
    try:
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


async def bare_connection(
    address: KafkaAddress,
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection without a client to the first broker that answers. Raises ConnectionError."""
    refusals = []
    for server in address.bootstrap_servers.split(","):
        host, _, port = server.strip().rpartition(":")
        try:
            async with asyncio.timeout(_CONNECT_SECONDS_MAX):
                return await asyncio.open_connection(host.strip("[]"), int(port))
        except OSError as error:  # a timeout is one
            refusals.append(f"{server}: {error!r}")
    raise ConnectionError(f"no broker answers ({'; '.join(refusals)})")


def _reached(address: KafkaAddress) -> dict[str, object]:
    return {"bootstrap_servers": address.bootstrap_servers}


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A topic that exists with another number of partitions than declared."""

    topic: str
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
    described = await admin.describe_topics([topic.name for topic in topics])
    actual = {topic["topic"]: len(topic["partitions"]) for topic in described}
    return tuple(
        Mismatch(topic.name, topic.partitions, actual[topic.name])
        for topic in topics
        if actual.get(topic.name, 0) not in {0, topic.partitions}
    )
