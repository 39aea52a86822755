"""Every process through every bad day of every server, and its own: what is promised holds.

Whatever happens, clients are told 2xx, 409, 429 or 503 and nothing else; no process ends that was
not told to; one that is told to ends well and in time, also in the middle of it; and when it is
over everything heals by itself: all that was accepted ends, and the books are sound.
"""

from __future__ import annotations

from functools import partial
from random import Random
from typing import TYPE_CHECKING, Final

import pytest
import pytest_asyncio

from tests.support.matrix.faults import FAULTS
from tests.support.matrix.site import Clients, site
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.fixtures.processes import OurProcess
    from tests.support.matrix.site import Site

pytestmark = pytest.mark.asyncio(loop_scope="module")

_PROCESSES: Final = (
    "ingress",
    "relay-kafka",
    "relay-redis",
    "charge",
    "refund",
    "dead-letters",
    "schedule",
    "webhooks",
)
# Of all pairs of a fault and a process that is told to stop during it, every day these.
_SEED: Final = 3
_PAIRS: Final = [(fault, process) for fault in FAULTS for process in _PROCESSES]
_OFTEN: Final = {*Random(_SEED).sample(_PAIRS, 2), ("postgres read-only", "charge")}
# Ten seconds of clients: longer than anybody waits for anything.
_TRIES: Final = 40


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with site(tmp_path_factory.mktemp("matrix")) as opened:
        yield opened


@pytest.mark.parametrize(
    ("fault", "victim"),
    [pytest.param(*each, marks=() if each in _OFTEN else pytest.mark.long) for each in _PAIRS],
)
async def test_a_bad_day_of_a_server(place: Site, fault: str, victim: str) -> None:
    """All processes see it, one is stopped during it; it passes, and so does its trace."""
    clients = Clients(place.url)
    await clients.open_account()
    before = {name: each.process_id for name, each in place.processes.items() if name != victim}
    async with clients.at_work():
        await clients.get_through(4)
        async with FAULTS[fault](place):
            await clients.try_on(_TRIES)
            await place.stop(victim)
        place.processes[victim].launch()
        await clients.get_through(8)
    clients.assert_told_honestly(without_answer=victim == "ingress")
    await place.until_healed(clients)
    after = {name: each.process_id for name, each in place.processes.items() if name != victim}
    assert after == before
    assert all(each.is_running for each in place.processes.values())


@pytest.mark.parametrize(
    "name", [pytest.param(each, marks=pytest.mark.long) for each in _PROCESSES]
)
async def test_a_process_that_stands_still(place: Site, name: str) -> None:
    """Its machine sleeps for a minute: what it held is taken over, and it goes on where it may."""
    clients = Clients(place.url)
    await clients.open_account()
    async with clients.at_work():
        await clients.get_through(4)
        place.processes[name].freeze()
        try:
            await clients.try_on(7 * _TRIES)
        finally:
            place.processes[name].thaw()
        await clients.get_through(8)
    clients.assert_told_honestly(without_answer=name == "ingress")
    await place.until_healed(clients)


@pytest.mark.long
@pytest.mark.parametrize("name", _PROCESSES)
async def test_a_stop_at_any_moment(place: Site, name: str) -> None:
    """From the first instruction to being at work: it ends well, and in time."""
    process, random = place.processes[name], Random(_SEED)
    try:
        for _ in range(8):
            await place.stop(name)
            process.launch()
            # A moment is how far its log has got, from nothing to being at work.
            await eventually(partial(_has_got_to, process, len(process.said), random), within=60)
    finally:
        if not process.is_running:
            process.launch()
        await process.until_ready()


async def _has_got_to(process: OurProcess, said: int, random: Random) -> bool:
    """Whether it is ready, or by chance; the more it says the likelier."""
    return random.randrange(300) < len(process.said) - said or await process.is_ready()
