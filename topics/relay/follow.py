"""Turns events of the WAL into messages for the sink: what to publish, what to leave out.

A row is left out for one of two reasons: the sink does not carry its topic, or the recovery has
already compared it with the sink. Every transaction is opened and ended in the publisher, with or
without rows, because the confirmed position must move past it.
"""

from typing import Final, assert_never

from topics.contracts.envelope import OutboxRow
from topics.names import TOPICS
from topics.relay.failures import SourceFailure, UndeclaredTopic
from topics.relay.pgoutput import Begin, Commit, Keepalive, WalEvent
from topics.relay.publisher import Publisher
from topics.relay.recovery import Covered
from topics.relay.sinks.sink import OutgoingMessage, Session
from topics.relay.watermark import Transaction

_DECLARED: Final = frozenset(topic.name.encode() for topic in TOPICS)


class Follower:
    """Takes the events of one stream in order."""

    def __init__(
        self, session: Session, publisher: Publisher, *, topics: frozenset[str], covered: Covered
    ) -> None:
        self._session = session
        self._publisher = publisher
        self._topics = frozenset(topic.encode() for topic in topics)
        self._covered: Covered | None = covered
        self._transaction: Transaction | None = None
        self._index = 0

    def take(self, events: list[WalEvent]) -> None:
        """Publish what is new in these events. Raises `UndeclaredTopic`."""
        for event in events:
            match event:
                case OutboxRow():
                    self._row(event)
                case Begin():
                    self._begin(event)
                case Commit(end_lsn=end_lsn):
                    self._publisher.end(self._current(), end_lsn)
                    self._transaction = None
                case Keepalive(wal_end=wal_end):
                    self._publisher.reached(wal_end)
                case _:
                    assert_never(event)
        self._session.flush()

    def _begin(self, begin: Begin) -> None:
        if self._covered is not None and self._covered.ended_by(begin):
            self._covered = None
        self._transaction = self._publisher.begin(begin.commit_lsn, begin.committed_at)
        self._index = 0

    def _row(self, row: OutboxRow) -> None:
        # Counts every row, so that a row has the same number each time the WAL repeats it.
        index = self._index
        self._index += 1
        if row.aggregatetype not in self._topics:
            if row.aggregatetype not in _DECLARED:
                raise UndeclaredTopic(f"row {row.id.decode()} is for {row.aggregatetype.decode()}")
            return
        if self._covered is not None and self._covered.has(row, self._session.partition_of):
            self._publisher.skipped()
            return
        self._publisher.publish(self._session, OutgoingMessage(row, self._current(), index))

    def _current(self) -> Transaction:
        if self._transaction is None:
            raise SourceFailure("the stream sent a row outside a transaction")
        return self._transaction
