"""Every topic, stage and replication slot of the project, declared once.

Whatever names one takes it from here: the relay and the stages, the supervisor of `make run`,
the lag exporter, and the tests that hold compose, Prometheus and the documents to it. What a topic
carries is in `topics/contracts/catalogue.py`.

A topic that exists is never changed here: somebody may have sized it on purpose. What differs
from the declaration is reported, because a partition count decides which order consumers see.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import NoError, TopicAlreadyExistsError, for_code

from payments.events import WorkType
from topics.contracts import channels

# What Kafka's own guides call safe: three copies, of which two must have a message to ack it.
_REPLICAS_WANTED: Final = 3


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic. `public` ones are mirrored on Redis Streams under the same name."""

    name: str
    key: str
    partitions: int
    retention: timedelta
    public: bool


# Public facts outlive a consumer's long outage; work is done within minutes or is a dead letter.
EVENTS: Final = Topic(channels.EVENTS, "payment id", 12, timedelta(days=30), public=True)
ACCOUNTS: Final = Topic(channels.ACCOUNTS, "account id", 12, timedelta(days=30), public=True)
CHARGES: Final = Topic(channels.CHARGES, "payment id", 12, timedelta(days=7), public=False)
REFUNDS: Final = Topic(channels.REFUNDS, "payment id", 12, timedelta(days=7), public=False)
DEAD_LETTERS: Final = Topic(
    channels.DEAD_LETTERS, "original key", 3, timedelta(days=30), public=True
)

TOPICS: Final = (EVENTS, ACCOUNTS, CHARGES, REFUNDS, DEAD_LETTERS)
PUBLIC_TOPICS: Final = tuple(topic for topic in TOPICS if topic.public)

# The replication slot of each sink: each goes at its own pace.
SLOTS: Final[Mapping[str, str]] = {"kafka": "payments_kafka", "redis": "payments_redis"}


class Does(Enum):
    """What a stage does, if it calls no provider for the work on its topic."""

    DEAD_LETTERS = auto()  # files what is on the topic of dead letters
    SCHEDULE = auto()  # wakes what is due, and keeps house
    NOTIFICATIONS = auto()  # takes what providers post


# Nobody waits at the other end of a claim: gathered for 20 ms, a tenth to a fifth more payments
# pass through two cores than begun at once, and at 500 a second they pass sooner.
_PACE_S: Final = 0.02


@dataclass(frozen=True, slots=True)
class WorkStage:
    """One stage: a process of its own, and a consumer group where a topic brings its work.

    It `does` provider work, for messages of a type, or something else; `agents/__main__.py`
    composes it. When it is busy its commits are `pace_s` seconds apart at the least. Metrics, dead
    letters and the consumer group know it by `name`, the command line also by `alias`. One that
    `listens` takes requests, where some can reach it and nobody else need: it stops with what lets
    work in, and is no part of `python -m agents all`.
    """

    name: str
    does: WorkType | Does
    topic: Topic | None = None
    pace_s: float = _PACE_S
    alias: str = ""
    listens: bool = False

    @property
    def command(self) -> str:
        """What `python -m agents` is told to run it."""
        return self.alias or self.name

    @property
    def group(self) -> str:
        """The consumer group's name, by which its lag is found."""
        return f"payments.{self.name}"


# In the order of their metrics ports, where they share a host: a new one comes last.
STAGES: Final = (
    WorkStage("charge", WorkType.CHARGE, CHARGES),
    WorkStage("refund", WorkType.REFUND, REFUNDS),
    WorkStage("dead-letters", Does.DEAD_LETTERS, DEAD_LETTERS),
    WorkStage("schedule", Does.SCHEDULE),
    # No provider minds when its webhook is answered: most tell what is known, and cost but the
    # commit.
    WorkStage("webhooks", Does.NOTIFICATIONS, pace_s=0.1, alias="notifications", listens=True),
)


def by_command(stages: Iterable[WorkStage] = STAGES) -> dict[str, WorkStage]:
    """Each stage by what the command line may call it."""
    return {name: each for each in stages for name in (each.name, each.command)}


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


async def create_missing(bootstrap_servers: str, topics: tuple[Topic, ...] = TOPICS) -> Report:
    """Create the topics a cluster lacks, with their retention; leave the others alone.

    Raises aiokafka's `KafkaError` when the cluster does not answer or refuses.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    try:
        await admin.start()
        existing = set(await admin.list_topics())
        missing = [topic for topic in topics if topic.name not in existing]
        created = await _create(admin, missing) if missing else ()
        return Report(created, await _mismatches(admin, topics))
    finally:
        await admin.close()


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
