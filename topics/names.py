"""Every topic, stage and replication slot of the project, declared once.

Whatever names one takes it from here: the relay and the stages, the supervisor of `make run`,
the lag exporter, and the tests that hold compose, Prometheus and the documents to it. What a topic
carries is in `topics/contracts/catalogue.py`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto
from typing import Final

from payments.events import WorkType
from topics.contracts import channels


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
# What each sink carries.
CARRIED: Final[Mapping[str, tuple[Topic, ...]]] = {"kafka": TOPICS, "redis": PUBLIC_TOPICS}


class Does(Enum):
    """What a stage does, if it calls no provider for the work on its topic."""

    DEAD_LETTERS = auto()  # files what is on the topic of dead letters
    SCHEDULE = auto()  # wakes what is due, and keeps house
    NOTIFICATIONS = auto()  # takes what providers post
    DELIVERIES = auto()  # posts events to tenants' webhook endpoints


# Nobody waits at the other end of a claim: gathered for 20 ms, a tenth to a fifth more payments
# pass through two cores than begun at once, and at 500 a second they pass sooner.
_PACE_S: Final = 0.02


@dataclass(frozen=True, slots=True)
class WorkStage:
    """One stage: a process of its own, and a consumer group where a topic brings its work.

    It `does` provider work, for messages of a type, or something else; `agents/__main__.py`
    composes it. When it is busy its commits are `pace_s` seconds apart at the least, and its looks
    for messages `gather_s`. Metrics, dead letters and the consumer group know it by `name`, the
    command line also by `alias`. One that
    `listens` takes requests, where some can reach it and nobody else need: it stops with what lets
    work in, and is no part of `python -m agents all`.
    """

    name: str
    does: WorkType | Does
    topic: Topic | None = None
    pace_s: float = _PACE_S
    gather_s: float = 0.0
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
    # A webhook is some milliseconds old when it is sent; each look costs us, and the broker more.
    WorkStage("deliver", Does.DELIVERIES, EVENTS, gather_s=0.05),
)


def by_command(stages: Iterable[WorkStage] = STAGES) -> dict[str, WorkStage]:
    """Each stage by what the command line may call it."""
    return {name: each for each in stages for name in (each.name, each.command)}
