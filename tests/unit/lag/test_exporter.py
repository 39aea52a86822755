"""Measuring goes on, and ends, whatever its sources make of it."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest
from prometheus_client import CollectorRegistry

from lag import gauges
from lag.exporter import _MeasuredSource
from telemetry.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from lag.report import WaitingWork


class Source:
    """Does as the test says, and counts how often it is asked."""

    def __init__(self, answer: Callable[[], Awaitable[None]]) -> None:
        self.asked = 0
        self._answer = answer

    async def measure(self, now: float) -> tuple[WaitingWork, ...]:
        del now
        self.asked += 1
        await self._answer()
        return ()

    async def close(self) -> None:
        raise RuntimeError("cannot even be closed")


def measured(source: Source) -> _MeasuredSource[WaitingWork]:
    metrics = Metrics(CollectorRegistry())
    return _MeasuredSource("odd", source, gauges.show_waiting, metrics)


@pytest.mark.parametrize("failure", [UnicodeDecodeError("utf-8", b"\xff", 0, 1, "x"), KeyError(1)])
async def test_what_no_driver_foresees_makes_a_source_unavailable(failure: Exception) -> None:
    """And ends nothing."""

    async def fail() -> None:
        raise failure

    one = measured(Source(fail))
    await one.refresh(time.time())
    assert one.unavailable is not None
    assert one.unavailable.reason == str(failure)


async def test_a_source_may_be_away_for_ever() -> None:
    """However often it failed, it is asked again."""

    async def fail() -> None:
        raise OSError("away")

    source = Source(fail)
    following = asyncio.ensure_future(
        # A pause that stays short for as long as anybody counts.
        measured(source).follow(time.time, refresh_seconds=5e-324)
    )
    while source.asked < 2000:
        await asyncio.sleep(0)
        assert not following.done(), following.exception()
    following.cancel()
