"""Every process through every bad day of every server, and its own: what is promised holds.

Whatever happens, clients are told 2xx, 409, 429 or 503 and nothing else, and none waits for long;
no process ends that was not told to; one that is told to ends well and in time, also in the middle
of it, and whoever was let in before is answered; and when it is over everything heals by itself:
all that was accepted ends and is told, and `payments verify` finds nothing.

`make test-long` runs every cell, `make test` a few: see `tests/support/matrix/sample.py`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

import pytest
import pytest_asyncio

from tests.support.matrix.books import books_of
from tests.support.matrix.clients import Clients
from tests.support.matrix.faults import FAULTS
from tests.support.matrix.flaws import FLAWS
from tests.support.matrix.sample import chance, sample
from tests.support.matrix.site import PROCESSES, site
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from random import Random

    from _pytest.mark import ParameterSet

    from tests.support.fixtures.processes import OurProcess
    from tests.support.matrix.books import Books

    CellT = TypeVar("CellT", bound=tuple[object, ...])

pytestmark = pytest.mark.asyncio(loop_scope="module")

# Ten seconds of clients: longer than anybody waits for anything.
_TRIES: Final = 40
# A quarter of a minute, beyond every lease; and more than a minute, beyond everybody's session.
_ASLEEP: Final = 60
_LONG_ASLEEP: Final = 7 * _TRIES
_STOPS: Final = 3
_MANY_STOPS: Final = 8


_FAULTS: Final = [(fault, process) for fault in FAULTS for process in PROCESSES]
_FLAWS: Final = [(flaw, process) for flaw in FLAWS for process in PROCESSES]
# A database that takes no writes, one that is silent while clients are led away, a silent broker.
_USUAL_FAULTS: Final = (
    ("postgres read-only", "charge"),
    ("postgres dark", "ingress"),
    ("kafka dark", "deliver"),
)
_USUAL_FLAWS: Final = (("no files", "ingress"), ("disk full", "charge"))


def _cells(often: Sequence[CellT], every: Sequence[CellT]) -> list[ParameterSet]:
    """Those to run every time, and then all others."""
    others = (each for each in every if each not in often)
    return [
        *(pytest.param(*each) for each in often),
        *(pytest.param(*each, marks=pytest.mark.long) for each in others),
    ]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Books]:
    async with site(tmp_path_factory.mktemp("matrix")) as place, books_of(place) as books:
        yield books
        taken = await place.admin.fetchval("SELECT count(*) FROM provider_events")
        assert taken > 0, "no provider has told the receiver of anything"


@pytest_asyncio.fixture(loop_scope="module")
async def books(opened: Books) -> Books:
    """With everybody at work, whatever became of the test before."""
    await opened.site.start_all()
    return opened


@pytest_asyncio.fixture(loop_scope="module")
async def clients(books: Books) -> Clients:
    newcomers = Clients(books.site.url, books.site.entrance)
    await newcomers.open_account()
    return newcomers


@pytest.mark.parametrize(
    ("fault", "victim"), _cells(sample("faults", _FAULTS, _USUAL_FAULTS), _FAULTS)
)
async def test_a_bad_day_of_a_server(
    books: Books, clients: Clients, fault: str, victim: str
) -> None:
    """All processes see it, one is stopped during it; it passes, and so does its trace."""
    place = books.site
    with place.only_stopping(victim):
        async with clients.at_work():
            await clients.get_through(4, refunds=1)
            async with FAULTS[fault](place):
                await clients.try_on(_TRIES)
                await place.stop(victim)
            await place.start(victim)
            await clients.get_through(8, refunds=1)
        clients.assert_told_honestly()
        await books.until_healed(clients)


@pytest.mark.parametrize(("flaw", "victim"), _cells(sample("flaws", _FLAWS, _USUAL_FLAWS), _FLAWS))
async def test_a_bad_day_of_a_process(
    books: Books, clients: Clients, flaw: str, victim: str
) -> None:
    """It lacks something, goes on as well as it can, and stops as well as ever."""
    place = books.site
    with place.only_stopping(victim):
        async with clients.at_work():
            await clients.get_through(4, refunds=1)
            async with FLAWS[flaw](place, victim):
                await clients.try_on(_TRIES)
            await place.stop(victim)
            await place.start(victim)
            await clients.get_through(8, refunds=1)
        clients.assert_told_honestly()
        await books.until_healed(clients)


@pytest.mark.parametrize(
    ("name", "tries"),
    _cells(
        sample("asleep", [(each, _ASLEEP) for each in PROCESSES], [("refund", _ASLEEP)]),
        [(each, _LONG_ASLEEP) for each in PROCESSES],
    ),
)
async def test_a_process_that_stands_still(
    books: Books, clients: Clients, name: str, tries: int
) -> None:
    """Its machine sleeps for a minute: what it held is taken over, and it goes on where it may."""
    place = books.site
    with place.only_stopping(name):
        async with clients.at_work():
            await clients.get_through(4, refunds=1)
            async with place.standing_still(name):
                await clients.try_on(tries)
            await clients.get_through(8, refunds=1)
        clients.assert_told_honestly()
        await books.until_healed(clients)


@pytest.mark.parametrize(
    ("name", "stops"),
    _cells(
        sample("stops", [(each, _STOPS) for each in PROCESSES], [("dead-letters", _STOPS)]),
        [(each, _MANY_STOPS) for each in PROCESSES],
    ),
)
async def test_a_stop_at_any_moment(books: Books, clients: Clients, name: str, stops: int) -> None:
    """From the first instruction to being at work: it ends well, and in time."""
    place, random = books.site, chance(name)
    process = place.processes[name]
    with place.only_stopping(name):
        async with clients.at_work():
            await clients.get_through(4, refunds=1)
            for _ in range(stops):
                await place.stop(name)
                process.launch()
                # A moment is how far its log has got, from nothing to being at work.
                has_got_on = partial(_has_got_to, process, len(process.said), random)
                await eventually(has_got_on, within=60)
            await place.start(name)
            await clients.get_through(8, refunds=1)
        clients.assert_told_honestly()
        await books.until_healed(clients)


async def _has_got_to(process: OurProcess, said: int, random: Random) -> bool:
    """Whether it is ready, or by chance; the more it says the likelier."""
    return random.randrange(300) < len(process.said) - said or await process.is_ready()
