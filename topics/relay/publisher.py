"""What is between the source and the sink: rows in flight, the watermark over them, and figures.

Every row goes in by `publish` and comes out by `acknowledge`, whether it came from the WAL or
from the table. The source reads on only while there is room, so memory stays bounded and a slow
sink slows the reading down.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from opentelemetry.trace import Tracer

from telemetry.metrics import Metrics
from topics.contracts.envelope import OutboxRow
from topics.relay.set_aside import SetAside
from topics.relay.sinks.sink import OutgoingMessage, Session, outgoing
from topics.relay.source import Clock
from topics.relay.spans import Spans
from topics.relay.watermark import Transaction, Watermark

# Enough to keep a sink busy for some sixty milliseconds, and few enough to lie in the cache.
_ROWS_IN_FLIGHT_MAX: Final = 4_000
_BYTES_IN_FLIGHT_MAX: Final = 16 * 1024 * 1024


class RelayFigures:
    """The relay's metrics with this sink's label; made at once, so that all are there at 0.

    `spans` tells whoever collects them, where somebody does, which rows arrived.
    """

    def __init__(self, metrics: Metrics, sink: str, tracer: Tracer | None = None) -> None:
        self.spans = None if tracer is None else Spans(tracer, sink)
        relay = metrics.relay
        self._sink = sink
        self._published = relay.published
        self._restarts = relay.restarts
        relay.begin(sink)
        self.active = relay.active.labels(sink)
        self.in_flight = relay.in_flight.labels(sink)
        self.received_lsn = relay.received_lsn.labels(sink)
        self.confirmed_lsn = relay.confirmed_lsn.labels(sink)
        self.commit_to_ack = relay.commit_to_ack.labels(sink)
        self.paused = relay.paused.labels(sink)
        self.lag_seconds = relay.lag_seconds.labels(sink)
        self.refilled = relay.refilled.labels(sink)
        self.duplicates_skipped = relay.duplicates_skipped.labels(sink)

    def restarted(self, reason: str) -> None:
        self._restarts.labels(self._sink, reason).inc()

    def published(self, topic: str, count: int) -> None:
        self._published.labels(self._sink, topic).inc(count)


class Publisher:
    """One stream's rows in flight, and what the sink answers.

    `acknowledged` counts the rows of the stream that the sink has; everything it was given was
    committed before `received`; `moved` is called whenever the confirmed position may have moved,
    once somebody wants to know.
    """

    moved: Callable[[], None]

    def __init__(
        self, confirmed: int, figures: RelayFigures, clock: Clock, aside: SetAside
    ) -> None:
        self._aside = aside
        self._watermark = Watermark(confirmed)
        self._figures = figures
        self._clock = clock
        self.moved = _nobody
        self._acked = asyncio.Event()
        self.received = confirmed
        self._bytes_in_flight = 0
        self.acknowledged = 0

    def begin(self, commit_lsn: int | None, committed_at: float) -> Transaction:
        if commit_lsn is not None:
            # Its rows are sent, and may be acknowledged, before its end is known.
            self.received = max(self.received, commit_lsn + 1)
        return self._watermark.begin(commit_lsn, committed_at)

    def publish(
        self, session: Session, transaction: Transaction, messages: Sequence[OutgoingMessage]
    ) -> None:
        """Send rows of a transaction, in order, but for those whose key is held back."""
        self._sent(transaction, messages)
        for message in self._aside.without_held(messages):
            session.publish(message)

    def send_again(self, session: Session, rows: Sequence[OutboxRow]) -> Transaction:
        """Send rows that the WAL does not bring, in order, whatever is set aside.

        They are all there, or set aside, when nothing of what is returned is pending.
        """
        transaction = self.begin(None, self._clock())
        messages = outgoing(rows, transaction)
        self._sent(transaction, messages)
        for message in messages:
            session.publish(message)
        self.end(transaction, 0)
        session.flush()
        return transaction

    def end(self, transaction: Transaction, end_lsn: int) -> None:
        """The transaction's rows have all been published."""
        self.received = max(self.received, end_lsn)
        self._watermark.end(transaction, end_lsn)
        self.moved()

    def reached(self, lsn: int) -> None:
        """The source has no row before `lsn` that it has not sent."""
        self.received = max(self.received, lsn)
        self._watermark.reached(lsn)
        self.moved()

    def acknowledge(self, messages: Sequence[OutgoingMessage]) -> None:
        """The sink has these rows."""
        self._aside.arrived(messages)
        for topic, count in Counter([row.aggregatetype for row, _, _ in messages]).items():
            self._figures.published(topic.decode(), count)
        # One observation a batch, of its oldest row: one a row would cost more than the decoding.
        oldest = messages[0].transaction
        if oldest.commit_lsn is not None:
            self._figures.commit_to_ack.observe(max(0.0, self._clock() - oldest.committed_at))
        if self._figures.spans is not None:
            self._figures.spans.arrived(messages, self._clock())
        self.settle(messages)

    def refuse(self, messages: Sequence[OutgoingMessage], reason: str) -> None:
        """The sink refuses the first of these; the others wait behind it, of the same key."""
        self._aside.refuse(messages, reason)

    def settle(self, messages: Sequence[OutgoingMessage]) -> None:
        """These rows need not be sent any more."""
        self.acknowledged += len(messages)
        self._bytes_in_flight -= _payload_bytes(messages)
        self._watermark.acked([transaction for _, transaction, _ in messages])
        self._acked.set()
        self.moved()

    async def room(self) -> None:
        """Return once more may be read."""
        while (
            self._watermark.rows_in_flight >= _ROWS_IN_FLIGHT_MAX
            or self._bytes_in_flight >= _BYTES_IN_FLIGHT_MAX
        ):
            await self._next_acknowledgement()

    async def emptied(self) -> None:
        """Return once nothing is in flight."""
        while self._watermark.rows_in_flight:
            await self._next_acknowledgement()

    async def settled(self, since: int, quiet_s: float) -> None:
        """Return once more rows than that are acknowledged, and nothing is open or came lately."""
        while self.acknowledged == since:
            await self._next_acknowledgement()
        acknowledged = since
        while acknowledged != self.acknowledged or self._watermark.oldest() is not None:
            acknowledged = self.acknowledged
            await asyncio.sleep(quiet_s)

    def measure(self) -> None:
        """Bring the gauges up to date."""
        oldest = self._watermark.oldest()
        lag = max(0.0, self._clock() - oldest.committed_at) if oldest else 0.0
        self._figures.lag_seconds.set(lag)
        self._figures.in_flight.set(self._watermark.rows_in_flight)
        self._figures.received_lsn.set(self.received)
        self._figures.confirmed_lsn.set(self._watermark.confirmed)

    def skipped(self, rows: int) -> None:
        """So many rows that the sink already has were left out."""
        self._figures.duplicates_skipped.inc(rows)

    @property
    def rows_in_flight(self) -> int:
        return self._watermark.rows_in_flight

    @property
    def confirmed(self) -> int:
        """Everything committed before this place of the WAL is acknowledged."""
        return self._watermark.confirmed

    def _sent(self, transaction: Transaction, messages: Sequence[OutgoingMessage]) -> None:
        self._watermark.sent(transaction, len(messages))
        self._bytes_in_flight += _payload_bytes(messages)

    async def _next_acknowledgement(self) -> None:
        self._acked.clear()
        await self._acked.wait()


def _payload_bytes(messages: Sequence[OutgoingMessage]) -> int:
    return sum([len(row.payload) for row, _, _ in messages])


def _nobody() -> None:
    """Until somebody wants to know."""
