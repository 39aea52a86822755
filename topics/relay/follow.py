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
from topics.relay.sinks.sink import Session, outgoing
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
        # Of the transaction: how many rows were published or left out, and those read since.
        self._index = 0
        self._rows: list[OutboxRow] = []

    def take(self, events: list[WalEvent]) -> None:
        """Publish what is new in these events. Raises `UndeclaredTopic`."""
        for event in events:
            match event:
                case OutboxRow():
                    self._rows.append(event)
                case Begin():
                    self._begin(event)
                case Commit(end_lsn=end_lsn):
                    self._publish()
                    self._publisher.end(self._current(), end_lsn)
                    self._transaction = None
                case Keepalive(wal_end=wal_end):
                    self._publish()
                    self._publisher.reached(wal_end)
                case _:
                    assert_never(event)
        self._publish()
        self._session.flush()

    def _begin(self, begin: Begin) -> None:
        if self._covered is not None and self._covered.ended_by(begin):
            self._covered = None
        self._transaction = self._publisher.begin(begin.commit_lsn, begin.committed_at)
        self._index = 0

    def _publish(self) -> None:
        if not self._rows:
            return
        transaction = self._current()
        # Numbers every row, so that one has the same each time the WAL repeats it.
        messages = outgoing(self._rows, transaction, self._index)
        self._index += len(messages)
        self._rows = []
        if not self._topics.issuperset([row.aggregatetype for row, _, _ in messages]):
            messages = [each for each in messages if self._is_carried(each.row)]
        if self._covered is not None:
            lacking = self._covered.lacking(messages, self._session.partition_of)
            self._publisher.skipped(len(messages) - len(lacking))
            messages = lacking
        self._publisher.publish(self._session, transaction, messages)

    def _is_carried(self, row: OutboxRow) -> bool:
        if row.aggregatetype not in _DECLARED:
            raise UndeclaredTopic(f"row {row.id.decode()} is for {row.aggregatetype.decode()}")
        return row.aggregatetype in self._topics

    def _current(self) -> Transaction:
        if self._transaction is None:
            raise SourceFailure("the stream sent a row outside a transaction")
        return self._transaction
