"""The standby takes the primary's place under traffic: the relay goes on there, by its slot."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from tests.support.local.pair import READY_WITHIN_S
from tests.support.topics.outbox import Outbox, assert_mirrors, traffic
from tests.support.topics.relays import Relays
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from tests.support.local.pair import Running
    from tests.support.topics.destinations import Destination


@pytest.mark.parametrize(
    ("how", "times"), [("killed", 1), pytest.param("in order", 2, marks=pytest.mark.long)]
)
async def test_the_relay_goes_on_from_the_standby(
    migrated_pair: Running, destination: Destination, how: str, times: int
) -> None:
    """None lost, none twice, none out of the order of its key, and nothing is read of the table."""
    pair = migrated_pair
    relays, outbox = Relays(pair.pair.address, destination), Outbox(pair.pool)
    async with relays.running() as relay:
        async with traffic(outbox, rows=20, rows_per_transaction=10, pause_s=0.05):
            for _ in range(times):
                before = await destination.count()
                await eventually(lambda: _more(destination, before), READY_WITHIN_S)  # noqa: B023
                await eventually(lambda: _carried(pair, relays.slot), READY_WITHIN_S)
                if how == "killed":
                    os.kill(pair.pid(pair.pair.primary), signal.SIGKILL)
                await pair.fail_over()
                await pair.until_both_are_ready()
        ids = await outbox.ids()
        await eventually(lambda: _has(destination, len(ids)), READY_WITHIN_S)
        assert_mirrors(await destination.messages(), ids)
        assert relay.value("refilled_total") == 0


async def _more(destination: Destination, than: int) -> bool:
    return await destination.count() > than + 50


async def _has(destination: Destination, count: int) -> bool:
    return await destination.count() >= count


async def _carried(pair: Running, slot: str) -> bool:
    kept = "SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1 AND failover"
    is_there = await pair.pool.fetchval(kept, slot)
    return bool(is_there) and not await pair.pair.loose_slots()
