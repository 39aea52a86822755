"""Whatever happens to relays, slots and sinks at random, a consumer sees each row once, in order.

Traffic goes on throughout, from hosts whose clocks are up to two minutes apart; two relays run, of
which one stands by. What a sink has lost it gets again; what was taken out of it on purpose not.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from tests.support.topics.faults import Site, payments_going_on
from tests.support.topics.outbox import Outbox, assert_mirrors
from tests.support.topics.own_server import OwnServer, own_server
from tests.support.topics.relays import Relays

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.support.local.pair import Running

# Two hundred in all; some three seconds each, on a machine of two cores.
_LONG = [(seed, 50) for seed in range(1, 5)]


@pytest.fixture(params=["kafka", "redis"])
async def server(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[OwnServer]:
    async with own_server(request.param, tmp_path) as opened:
        yield opened


@pytest.fixture
def relays(migrated_pair: Running, server: OwnServer) -> Relays:
    return Relays(migrated_pair.pair.address, server.destination)


@pytest.mark.parametrize(
    ("seed", "faults"),
    [(20240607, 8), *(pytest.param(*each, marks=pytest.mark.long) for each in _LONG)],
)
async def test_a_consumer_sees_each_row_once_and_in_order(  # noqa: PLR0917 - fixtures
    relays: Relays,
    server: OwnServer,
    migrated_pair: Running,
    tmp_path: Path,
    seed: int,
    faults: int,
) -> None:
    """None lost, none twice, none out of the order of its key."""
    chance, quiet, happened = random.Random(seed), asyncio.Lock(), []
    outbox = Outbox(migrated_pair.pool)
    try:
        async with (
            AsyncExitStack() as stack,
            payments_going_on(outbox, chance, quiet) as stop,
        ):
            site = Site(relays, outbox, migrated_pair, server, tmp_path, chance, stack, quiet)
            await site.start()
            await site.start()
            kinds = site.faults()
            chosen = [*kinds, *chance.choices(kinds, k=max(0, faults - len(kinds)))]
            chance.shuffle(chosen)
            for fault in chosen[:faults]:
                happened.append(fault.__name__)
                await fault()
            stop.set()
            # Whoever is writing still has written then.
            async with quiet:
                await site.settled()
                seen = await site.seen()
        assert_mirrors(seen, await outbox.ids())
    except BaseException as error:
        error.add_note(f"seed {seed}: {', '.join(happened)}")
        raise
