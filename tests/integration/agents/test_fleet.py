"""`python -m agents all`: every stage under one command, which ends as one."""

from __future__ import annotations

import signal
from dataclasses import replace
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.support.waiting import eventually
from topics.names import STAGES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.fixtures.processes import OurProcess, Platform

_STAGES = [stage.name for stage in STAGES if not stage.listens]


@pytest.fixture
async def fleet(platform: Platform) -> AsyncIterator[OurProcess]:
    """All stages, ready; their metrics are on ports in a row."""
    fleet = platform.process("all", "agents", "all")
    fleet.launch()
    for place, stage in enumerate(_STAGES):
        await replace(fleet, name=stage, port=fleet.port + place).until_ready()
    children = psutil.Process(fleet.process_id).children()
    yield fleet
    for child in children:
        if child.is_running():
            child.kill()


@pytest.mark.long
async def test_told_to_stop_every_stage_drains(fleet: OurProcess) -> None:
    """SIGTERM to the one is SIGTERM to all; nobody is left behind."""
    children = psutil.Process(fleet.process_id).children()
    assert len(children) == len(_STAGES)
    assert await fleet.drain() == 0
    assert not any(child.is_running() for child in children)


@pytest.mark.long
async def test_one_that_dies_takes_the_others_with_it(fleet: OurProcess) -> None:
    """Half a fleet looks like a whole one: so the others drain, and the exit code tells."""
    *others, schedule = psutil.Process(fleet.process_id).children()
    schedule.send_signal(signal.SIGKILL)
    assert await fleet.ended() == 1
    await eventually(lambda: not any(child.is_running() for child in others))


async def test_cut_off_it_leaves_no_stage_behind(platform: Platform) -> None:
    """One that stands still cannot drain: when the time is over it is ended with the others."""
    fleet = platform.process("cut", "agents", "all", PAYMENTS_SERVER_SHUTDOWN_TIMEOUT="1s")
    fleet.launch()
    itself = psutil.Process(fleet.process_id)
    await eventually(lambda: len(itself.children()) == len(_STAGES), within=30)
    children = itself.children()
    children[0].suspend()
    assert await fleet.drain() == 0
    # Whoever inherits what was killed buries it some time.
    assert not any(
        child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children
    )
