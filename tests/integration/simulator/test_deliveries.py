"""Lanes: what fails waits by itself, is signed anew, bounded, and ends with its endpoint."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from itertools import count

import pytest

from simulator import webhooks
from simulator.faults import NO_FAULTS
from simulator.webhooks import Delivery, Webhooks
from tests.support.simulator.receiver import Receiver, failing_endpoint
from tests.support.waiting import eventually


@pytest.fixture
async def delivering() -> AsyncIterator[Webhooks]:
    """Webhooks on a clock of which every reading is another."""
    ticks = count(1)
    deliveries = Webhooks(lambda: float(next(ticks)))
    running = asyncio.create_task(deliveries.run())
    yield deliveries
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


def _told(url: str, what: str, is_wanted: Callable[[], bool] = lambda: True) -> Delivery:
    return Delivery(url, url, what.encode(), lambda at: {"X-Signed-At": str(at)}, is_wanted)


async def test_what_fails_is_tried_again_in_order_and_signed_anew(
    delivering: Webhooks, receiver: Receiver
) -> None:
    """A signature that waits would be too old when it arrives."""
    receiver.failures = 2
    delivering.announce([_told(receiver.url, "first"), _told(receiver.url, "second")], NO_FAULTS)
    await eventually(lambda: delivering.delivered == 2)
    assert [body for _, body in receiver.received] == [b"first", b"second"]
    assert receiver.received[0][0]["X-Signed-At"] == "3.0"


async def test_a_removed_endpoint_hears_nothing_more(
    delivering: Webhooks, receiver: Receiver
) -> None:
    """Not even of what was waiting for it."""
    wanted = True
    receiver.failures = 1
    delivering.announce([_told(receiver.url, "old", lambda: wanted)], NO_FAULTS)
    await eventually(lambda: receiver.failures == 0)
    wanted = False
    delivering.announce([_told(receiver.url, "new")], NO_FAULTS)
    await eventually(lambda: delivering.waiting == 0 and delivering.delivered == 1)
    assert [body for _, body in receiver.received] == [b"new"]


async def test_a_lane_ends_when_all_is_told_and_begins_again(
    delivering: Webhooks, receiver: Receiver
) -> None:
    """One request after another, each to an endpoint with nothing to be told before."""
    for _ in range(3):
        delivering.announce([_told(receiver.url, "one")], NO_FAULTS)
        await eventually(lambda: delivering.waiting == 0 and delivering.delivered > 0)
        delivering.delivered = 0
    assert len(receiver.received) == 3


async def test_a_dead_endpoint_holds_a_bounded_number(
    delivering: Webhooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest; the rest is given up."""
    monkeypatch.setattr(webhooks, "_WAITING_MAX", 5)
    with failing_endpoint("dead") as url:
        for number in range(20):
            delivering.announce([_told(url, str(number))], NO_FAULTS)
        assert (delivering.waiting, delivering.given_up) == (5, 15)


async def test_a_delivery_is_given_up_at_last(
    delivering: Webhooks, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what came after it is told."""
    monkeypatch.setattr(webhooks, "_PAUSES_S", (0.01, 0.01))
    receiver.failures = 3
    delivering.announce([_told(receiver.url, "first"), _told(receiver.url, "second")], NO_FAULTS)
    await eventually(lambda: delivering.delivered == 1)
    assert delivering.given_up == 1
    assert [body for _, body in receiver.received] == [b"second"]
