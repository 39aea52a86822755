"""What the relay asks of a place it publishes to; one conformance suite runs over every sink.

A sink takes messages in order and acknowledges them in any order, but those of one key become
visible in the order given, or not at all. It never retries past a failure on its own: it fails,
and the relay reads back what is there and continues from that.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from itertools import count, repeat
from typing import NamedTuple, Protocol

from topics.contracts.envelope import OutboxRow
from topics.relay.positions import Extent, Partition, Place
from topics.relay.watermark import Transaction


class OutgoingMessage(NamedTuple):
    """An outbox row on its way: `number` counts the rows of its transaction from 0."""

    row: OutboxRow
    transaction: Transaction
    number: int


def outgoing(
    rows: Iterable[OutboxRow], transaction: Transaction, first: int = 0
) -> list[OutgoingMessage]:
    """Rows of a transaction that follow each other, the first of them having this number."""
    numbered = zip(rows, repeat(transaction), count(first), strict=False)
    return [tuple.__new__(OutgoingMessage, each) for each in numbered]


class Answers(Protocol):
    """Hears what became of what a session was given."""

    def acknowledge(self, messages: Sequence[OutgoingMessage]) -> None:
        """The sink has these."""

    def refuse(self, messages: Sequence[OutgoingMessage], reason: str) -> None:
        """It does not take the first of these for its content; the others are of the same key.

        Those were not sent: they would come before it.
        """


class Writer(NamedTuple):
    """Who writes: `name` is the same for every relay of this sink and database.

    `was_drained` if the one before ended with all it sent acknowledged: nothing of it is on its
    way any more. `since` is where the WAL ended when this one took over.
    """

    name: str
    was_drained: bool
    since: int


class Session(Protocol):
    """One life of a sink, from connecting to the first failure (`SinkFailure`)."""

    @property
    def extents(self) -> Mapping[Partition, Extent]:
        """Every partition of the sink's topics, as it was when the session began."""

    async def present(self, read_from: Mapping[Partition, Place]) -> set[bytes]:
        """The ids of all messages at or behind these places."""

    def partition_of(self, row: OutboxRow) -> Partition:
        """Where a row belongs; its topic must be one of the sink's."""

    def acknowledged(self) -> Mapping[Partition, Place]:
        """Behind the last message of each partition that is there for certain."""

    def publish(self, message: OutgoingMessage) -> None:
        """Take a message, without waiting; its row's topic must be one of the sink's."""

    def flush(self) -> None:
        """Nothing follows for now: send what was taken."""

    async def run(self) -> None:
        """Send and acknowledge until cancelled; raises `SinkFailure` when that is over."""

    async def check(self) -> None:
        """Raise `SinkFailure` if the sink has lost what it acknowledged, or is another one."""


class Sink(Protocol):
    """A kind of sink; `name` labels metrics and the slot, `topics` is what it carries.

    It keeps the newest `keeps` messages of a topic, or all.
    """

    name: str
    topics: frozenset[str]
    keeps: int | None

    def open(self, answers: Answers, writer: Writer) -> AbstractAsyncContextManager[Session]:
        """Connect. Nothing another process sends arrives after this returns."""
