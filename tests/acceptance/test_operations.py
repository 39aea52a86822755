"""What operators are given, proven on the real platform: alerts, dashboards, and the runbook.

What each alert names is broken, and its condition becomes true.
The processes are scraped as Prometheus scrapes them, and the expression is evaluated over what
they said; only how long it must be true before somebody is woken (`for`) is not waited for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.support.alerts.faults import FAULTS
from tests.support.alerts.place import place_in
from tests.support.runbook.commands import commands, statements
from tests.support.runbook.filled import SLOW, filling_of
from tests.support.runbook.running import run, say
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.alerts.place import Place

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    async with place_in(tmp_path_factory.mktemp("alerts")) as opened:
        yield opened


async def test_every_line_of_every_panel_has_data(place: Place) -> None:
    """Under the traffic of `--demo`, and with one reader of Redis: no panel is for nobody."""
    async with place.demonstrated():
        await eventually(place.watch.has_all_panels, within=60)


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(each, marks=pytest.mark.long if filling_of(each) in SLOW.values() else ())
        for each in commands()
    ],
)
async def test_a_command_of_the_documents_runs(place: Place, command: str) -> None:
    """As it stands there, with ids and files in the place of what stands for them."""
    await run(place, command)


@pytest.mark.parametrize("statement", statements())
async def test_a_statement_of_the_documents_is_understood(place: Place, statement: str) -> None:
    """By this schema; what it would do is undone, or is not done."""
    await say(place, statement)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.long if fault.is_slow else ())
        for name, fault in FAULTS.items()
    ],
)
async def test_what_is_broken_makes_its_alerts_true(place: Place, name: str) -> None:
    """They are not true before it is; and those that ask how it is now are over when it is."""
    fault = FAULTS[name]
    place.watch.forget()
    # Twice, so that there are rates.
    for _ in range(2):
        await place.watch.sees_no(*fault.alerts, within=60)
    async with fault.broken(place):
        await place.watch.sees(*fault.alerts, within=120)
    place.watch.forget()
    await place.watch.sees_no(*fault.alerts, within=60)
