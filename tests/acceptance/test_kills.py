"""Kill -9 of every process in turn under traffic: nothing acknowledged is lost or charged twice."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from local.processes import PROCESSES
from tests.support.acceptance.traffic import traffic

if TYPE_CHECKING:
    from tests.support.acceptance.client import Client
    from tests.support.acceptance.running import Installation

# The simulator first: its death opens the circuits for 30 s, which pass while others die.
VICTIMS: Final = (
    "simulator",
    *(each.name for each in PROCESSES if each.name != "simulator" and not each.is_demo),
    *("valkey", "kafka", "postgres"),
)
# What a refund of a random payment may be answered.
_REFUSALS: Final = {"payment_not_refundable", "refund_exceeds_payment", "insufficient_funds"}
# Enough for something to be in every stage when the blow falls.
_BETWEEN_S: Final = 0.5


async def test_every_process_killed_in_turn_loses_nothing_and_charges_nobody_twice(
    installation: Installation, client: Client
) -> None:
    """Each is killed in the middle of traffic and back before the next; then all is sound."""
    running = {each.name for each in installation.record.processes}
    assert running == set(VICTIMS), "a process is never killed"
    async with traffic(installation.url, seed=1) as sent:
        for name in VICTIMS:
            await asyncio.sleep(_BETWEEN_S)
            await installation.kill(name)
    ended = await sent.all_ended(client, within=90.0)
    assert ended["completed"] + ended["partially_refunded"] > 5 * len(VICTIMS)
    assert {each["code"] for each in sent.refused} <= _REFUSALS
    await installation.assert_sound()
