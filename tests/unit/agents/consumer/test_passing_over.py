"""Of what nobody wants a stage is handed the last, and nothing that a rebalance took from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import pytest
from faust.types import TP

from agents.consumer import app as faust_app
from process.addresses import KafkaAddress

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

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
    assert (await _handed_over(app, FETCHED), asked) == (given, [2])


async def test_who_has_each_message_anyway_is_not_asked() -> None:
    """A lone message of a partition says how far it was read."""

    async def passes_over(_: int) -> bool:
        raise AssertionError

    fetched = {FIRST: ["one"], SECOND: ["four"]}
    assert await _handed_over(_app(passes_over), fetched) == fetched


def _app(passes_over: Callable[[int], Awaitable[bool]]) -> faust.App:
    async def consume(events: AsyncIterator[Any]) -> None:
        raise NotImplementedError

    subscription = faust_app.Subscription(
        *("deliver", "payments.deliver", "payments.events", KafkaAddress("127.0.0.1:1"), None),
        passes_over=passes_over,
    )
    return faust_app.build(subscription, consume)


async def _handed_over(app: faust.App, fetched: dict[TP, list[str]]) -> object:
    """What the app's consumer makes of what the broker has just answered."""

    async def nothing(*_: object) -> None:
        raise NotImplementedError

    async def getmany(**_: object) -> dict[TP, list[str]]:
        return fetched

    consumer = cast(
        "Any",
        app.transport.create_consumer(
            nothing, on_partitions_revoked=nothing, on_partitions_assigned=nothing
        ),
    )
    consumer._getmany = getmany  # noqa: SLF001 - what stands between it and a broker
    consumer._active_partitions = {*fetched}  # noqa: SLF001 - as once they are assigned
    try:
        records, _ = await consumer._wait_next_records(1.0)  # noqa: SLF001 - as Faust asks it
    finally:
        # Its thread, which was never started, has one.
        consumer._thread.thread_loop.close()  # noqa: SLF001 - likewise
    return records
