"""What is between the source and the sink: rows in flight, the watermark over them, and figures.

Every row goes in by `publish` and comes out by `acknowledge`, whether it came from the WAL or
from the table. The source reads on only while there is room, so memory stays bounded and a slow
sink slows the reading down.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence

from telemetry.metrics import Metrics
from topics.relay.sinks.sink import OutgoingMessage, Session
from topics.relay.source import Clock
from topics.relay.watermark import Transaction, Watermark


class RelayFigures:
    """The relay's metrics with this sink's label; made at once, so that all are there at 0."""

    def __init__(self, metrics: Metrics, sink: str) -> None:
        relay = metrics.relay
        self._sink = sink
        self._published = relay.published
        self._restarts = relay.restarts
        self.active = relay.active.labels(sink)
        self.in_flight = relay.in_flight.labels(sink)
        self.received_lsn = relay.received_lsn.labels(sink)
        self.confirmed_lsn = relay.confirmed_lsn.labels(sink)
        self.commit_to_ack = relay.commit_to_ack.labels(sink)
        self.lag_seconds = relay.lag_seconds.labels(sink)
        self.refilled = relay.refilled.labels(sink)
        self.duplicates_skipped = relay.duplicates_skipped.labels(sink)
        self.oversized = relay.oversized.labels(sink)

    def restarted(self, reason: str) -> None:
        self._restarts.labels(self._sink, reason).inc()

    def published(self, topic: str, count: int) -> None:
        self._published.labels(self._sink, topic).inc(count)


class Publisher:
    """One stream's rows in flight; `moved` hears of every new confirmed position."""

    def __init__(
        self, confirmed: int, figures: RelayFigures, clock: Clock, moved: Callable[[int], None]
    ) -> None:
        self._watermark = Watermark(confirmed)
        self._figures = figures
        self._clock = clock
        self._moved = moved
        self._acked = asyncio.Event()
        self._acked_since_asked = 0
        self._received = confirmed

    def begin(self, commit_lsn: int | None, committed_at: float) -> Transaction:
        return self._watermark.begin(commit_lsn, committed_at)

    def publish(self, session: Session, message: OutgoingMessage) -> None:
        self._watermark.sent(message.transaction)
        session.publish(message)

    def end(self, transaction: Transaction, end_lsn: int) -> None:
        """The transaction's rows have all been published."""
        self._received = max(self._received, end_lsn)
        self._watermark.end(transaction, end_lsn)
        self._tell()

    def reached(self, lsn: int) -> None:
        """The source has no row before `lsn` that it has not sent."""
        self._received = max(self._received, lsn)
        self._watermark.reached(lsn)
        self._tell()

    def acknowledge(self, messages: Sequence[OutgoingMessage], *, replayed: int = 0) -> None:
        """The sink has these rows, so many of them since before this stream."""
        acked = self._watermark.acked
        self._acked_since_asked += len(messages)
        for message in messages:
            acked(message.transaction)
        self._figures.duplicates_skipped.inc(replayed)
        for topic, count in Counter([message.row.aggregatetype for message in messages]).items():
            self._figures.published(topic.decode(), count)
        # One observation a batch, of its oldest row: one a row would cost more than the decoding.
        oldest = messages[0].transaction
        if oldest.commit_lsn is not None:
            self._figures.commit_to_ack.observe(max(0.0, self._clock() - oldest.committed_at))
        self._acked.set()
        self._tell()

    async def room(self, rows: int) -> None:
        """Return once fewer than `rows` rows are in flight."""
        while self._watermark.rows_in_flight >= rows:
            self._acked.clear()
            await self._acked.wait()

    def measure(self) -> None:
        """Bring the gauges up to date."""
        oldest = self._watermark.oldest()
        lag = max(0.0, self._clock() - oldest.committed_at) if oldest else 0.0
        self._figures.lag_seconds.set(lag)
        self._figures.in_flight.set(self._watermark.rows_in_flight)
        self._figures.received_lsn.set(self._received)
        self._figures.confirmed_lsn.set(self._watermark.confirmed)

    def skipped(self) -> None:
        """A row the sink already has was left out."""
        self._figures.duplicates_skipped.inc()

    def was_idle(self) -> bool:
        """Whether no row was acknowledged since this was last asked."""
        was_idle = self._acked_since_asked == 0
        self._acked_since_asked = 0
        return was_idle

    @property
    def rows_in_flight(self) -> int:
        return self._watermark.rows_in_flight

    def _tell(self) -> None:
        self._moved(self._watermark.confirmed)
