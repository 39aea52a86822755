"""What the relay asks of a place it publishes to; one conformance suite runs over every sink.

A sink takes messages in order and acknowledges them in any order, but those of one key become
visible in the order given, or not at all. It never retries past a failure on its own: it fails,
and the relay reads back what is there and continues from that.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol

from topics.contracts.envelope import OutboxRow
from topics.relay.watermark import Transaction


class OutgoingMessage(NamedTuple):
    """An outbox row on its way: `number` counts the rows of its transaction from 0."""

    row: OutboxRow
    transaction: Transaction
    number: int


class PresentMessages(NamedTuple):
    """Ids of messages a sink has, and from when on it would have every message of a topic.

    `complete_since_ms` is later than what was asked for where a sink dropped its oldest messages.
    """

    ids: set[bytes]
    complete_since_ms: Mapping[str, int]


class Acknowledge(Protocol):
    """Called with rows the sink has; `replayed` counts those it had from an earlier session."""

    def __call__(self, messages: Sequence[OutgoingMessage], *, replayed: int = 0) -> None: ...


class ResumePoint(NamedTuple):
    """Where the source stands as a session opens: confirmed position, and the WAL's end."""

    confirmed_lsn: int
    wal_lsn: int


class Session(Protocol):
    """One life of a sink, from connecting to the first failure (`SinkFailure`)."""

    async def newest_ms(self) -> Mapping[str, int | None]:
        """For each topic the time its newest message was recorded; None if it never had any."""

    async def present(self, since_ms: Mapping[str, int]) -> PresentMessages:
        """What is there of the rows recorded since then."""

    def publish(self, message: OutgoingMessage) -> None:
        """Take a message, without waiting; its row's topic must be one of the sink's."""

    def flush(self) -> None:
        """Nothing follows for now: send what was taken."""

    async def run(self) -> None:
        """Send and acknowledge until cancelled; raises `SinkFailure` when that is over."""

    async def check(self) -> None:
        """Raise `SinkFailure` if the sink has lost what it acknowledged."""


class Sink(Protocol):
    """A kind of sink; `name` labels metrics and the slot, `topics` is what it carries."""

    name: str
    topics: frozenset[str]

    def open(
        self, acknowledge: Acknowledge, resume: ResumePoint
    ) -> AbstractAsyncContextManager[Session]:
        """Connect. Nothing another process sends arrives after this returns, if that can be had."""
