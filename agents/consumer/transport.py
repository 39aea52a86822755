"""Faust's transport, but for what it reads, and when.

Messages of transactions are read only once they are committed: what was aborted is work that nobody
ordered. Faust reads committed messages only if it is to do all in transactions of its own, so its
consumer is told as it is made. A stage that is in no hurry is handed what came meanwhile at once,
and one that may want nothing of it is asked first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from faust.transport.drivers import aiokafka as driver

from agents.consumer.handing_over import HandsOver
from topics.header_names import reading_any_name

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    import aiokafka
    import faust
    from faust.transport.consumer import RecordMap
    from faust.types import TP
    from faust.types.tuples import Message

    # Whether nobody wants so many messages, which are there by now.
    PassesOver = Callable[[int], Awaitable[bool]]


# More than comes in a moment; a backlog is handed over by as many.
_GATHERED_BYTES: Final = 1 << 18
# As Faust has it.
_IDLE_MS: Final = 1_500
# Nobody waits for what nobody wants; who begins to has the first of it two of these later at most.
_UNWANTED_S: Final = 0.25


class _Thread(driver.AIOKafkaConsumerThread):
    """The thread of its own in which a consumer lives."""

    def _create_worker_consumer(self, transport: driver.Transport) -> aiokafka.AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        # Before it starts: it hands this on then, and there is no other way to say it.
        consumer._isolation_level = "read_committed"  # noqa: SLF001 - argued above
        return reading_any_name(consumer)

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Back to what is committed, and where nothing is to the beginning.

        There Kafka's client stays where it is. What Faust had fetched while a rebalance had its
        flow stopped, and threw away, would not come again.
        """
        committed: Mapping[TP, int] = await self.call_thread(self._seek_back)
        return committed

    async def _seek_back(self) -> Mapping[TP, int]:
        consumer = self._ensure_consumer()
        committed: Mapping[TP, int] = await consumer.seek_to_committed()
        for at, offset in committed.items():
            if not offset and at in consumer.assignment():
                # If that is gone, the first that is there.
                consumer.seek(at, 0)
        return committed

    def gather(self, seconds: float) -> None:
        """Have the broker keep what comes for so long, and then hand it over at once.

        Said of each request that it makes from now on, whenever it makes it: its own way of looking
        ahead asks for one partition after the other, and is answered a message at a time.
        """
        fetcher = self._ensure_consumer()._fetcher  # noqa: SLF001 - there is no other way to say it
        fetcher._fetch_min_bytes = _GATHERED_BYTES if seconds else 1  # noqa: SLF001 - likewise
        fetcher._fetch_max_wait_ms = int(1000 * seconds) or _IDLE_MS  # noqa: SLF001 - likewise


class _Consumer(HandsOver, driver.Consumer):
    """A consumer that knows of every offset nobody is ever given."""

    _is_unwanted = False

    def _new_consumer_thread(self) -> _Thread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)

    async def getmany(
        self,
        timeout: float,  # noqa: ASYNC109 - Faust's signature
    ) -> AsyncIterator[tuple[TP, Message]]:
        """Faust takes no note of a gap behind the offset 0, and would never commit again."""
        is_busy = False
        async for at, message in super().getmany(timeout):
            is_busy = True
            if self._read_offset[at] == 0 and message.offset > 1:
                await self._add_gap(at, 1, message.offset)
            yield at, message
        if gather_s := cast("_Transport", self.transport).gather_s:
            gather_s = _UNWANTED_S if self._is_unwanted else gather_s
            cast("_Thread", self._thread).gather(gather_s if is_busy else 0.0)

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Of what lies before `offset_to`, where the next message is.

        Faust counts that one in, and so twice once it is acknowledged: a commit would end there,
        and however many gaps came meanwhile, each would take a commit of its own.
        """
        await super()._add_gap(tp, offset_from, offset_to - 1)

    async def _wait_next_records(
        self,
        timeout: float,  # noqa: ASYNC109 - Faust's signature
    ) -> tuple[RecordMap | None, set[TP] | None]:
        """Of what nobody wants the last one of each partition, which says how far it was read."""
        records, active = await super()._wait_next_records(timeout)
        passes_over = cast("_Transport", self.transport).passes_over
        beside = sum(len(each) - 1 for each in (records or {}).values())
        if not records or passes_over is None or not (beside or self._is_unwanted):
            return records, active
        generation = self.app.consumer_generation_id
        self._is_unwanted = await passes_over(beside)
        if generation != self.app.consumer_generation_id:
            # Faust has gone back meanwhile to where the group is: it comes again.
            return {}, active
        if self._is_unwanted:
            records = {at: each[-1:] for at, each in records.items()}
        return records, active


class _Transport(driver.Transport):
    Consumer = _Consumer
    gather_s: float
    passes_over: PassesOver | None


def reading_committed(
    app: faust.App, gather_s: float = 0.0, passes_over: PassesOver | None = None
) -> driver.Transport:
    """The app's transport, to be set before anything of it is used.

    While there are messages, it asks for them every `gather_s` seconds; of those that come after a
    pause the first is handed over at once. What `passes_over` says nobody wants is not handed over.
    """
    transport = _Transport(app.conf.broker_consumer, cast("faust.types.AppT", app))
    transport.gather_s = gather_s
    transport.passes_over = passes_over
    return transport
