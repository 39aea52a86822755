"""Of what nobody wants a stage is handed the last, and nothing that a rebalance took from it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, cast

import pytest
from faust.types import TP

from agents.consumer import app as faust_app
from process.addresses import KafkaAddress

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    import faust

FIRST, SECOND = TP("payments.events", 0), TP("payments.events", 1)
FETCHED: Final = {FIRST: ["one", "two", "three"], SECOND: ["four"]}


def _rebalanced(app: faust.App) -> bool:
    app.consumer_generation_id += 1
    return True


@pytest.mark.parametrize(
    ("answers", "given"),
    [
        pytest.param(lambda _: False, FETCHED, id="somebody wants them"),
        pytest.param(lambda _: True, {FIRST: ["three"], SECOND: ["four"]}, id="nobody wants them"),
        pytest.param(_rebalanced, {}, id="they are another member's by now"),
    ],
)
async def test_messages_are_passed_over(
    answers: Callable[[faust.App], bool], given: dict[TP, list[str]]
) -> None:
    """As it is said of them once they are there: two beside the last ones."""
    asked: list[int] = []

    async def passes_over(count: int) -> bool:
        asked.append(count)
        return answers(app)

    app = _app(passes_over)
    with _consumer(app) as consumer:
        assert (await _handed_over(consumer, FETCHED), asked) == (given, [2])


async def test_who_has_each_message_anyway_is_not_asked() -> None:
    """A lone message of a partition says how far it was read."""

    async def passes_over(_: int) -> bool:
        raise AssertionError

    fetched = {FIRST: ["one"], SECOND: ["four"]}
    with _consumer(_app(passes_over)) as consumer:
        assert await _handed_over(consumer, fetched) == fetched


async def test_whoever_begins_to_want_messages_is_noticed_by_the_next() -> None:
    """Though it be a lone one: what was passed over before says nothing of it."""
    answers, asked = [True, False], []

    async def passes_over(count: int) -> bool:
        asked.append(count)
        return answers.pop(0)

    lone = {FIRST: ["five"]}
    with _consumer(_app(passes_over)) as consumer:
        await _handed_over(consumer, FETCHED)
        for _ in range(2):
            assert await _handed_over(consumer, lone) == lone
    assert asked == [2, 0]


def _app(passes_over: Callable[[int], Awaitable[bool]]) -> faust.App:
    async def consume(events: AsyncIterator[Any]) -> None:
        raise NotImplementedError

    subscription = faust_app.Subscription(
        *("deliver", "payments.deliver", "payments.events", KafkaAddress("127.0.0.1:1"), None),
        passes_over=passes_over,
    )
    return faust_app.build(subscription, consume)


@contextmanager
def _consumer(app: faust.App) -> Iterator[Any]:
    """The app's, with its partitions."""

    async def nothing(*_: object) -> None:
        raise NotImplementedError

    made = app.transport.create_consumer(
        nothing, on_partitions_revoked=nothing, on_partitions_assigned=nothing
    )
    consumer = cast("Any", made)
    consumer._active_partitions = {FIRST, SECOND}  # noqa: SLF001 - as once they are assigned
    try:
        yield consumer
    finally:
        # Its thread, which was never started, has one.
        consumer._thread.thread_loop.close()  # noqa: SLF001 - likewise


async def _handed_over(consumer: Any, fetched: dict[TP, list[str]]) -> object:  # noqa: ANN401 - Faust's, with a double of what it asks
    """What it makes of what the broker has just answered."""

    async def getmany(**_: object) -> dict[TP, list[str]]:
        return fetched

    consumer._getmany = getmany  # noqa: SLF001 - what stands between it and a broker
    records, _ = await consumer._wait_next_records(1.0)  # noqa: SLF001 - as Faust asks it
    return records
