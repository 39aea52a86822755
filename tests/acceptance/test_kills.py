"""Kill -9 of every process in turn under traffic: nothing acknowledged is lost or charged twice."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import pytest

from local.processes import PROCESSES
from tests.support.acceptance.client import client_of
from tests.support.acceptance.traffic import traffic

if TYPE_CHECKING:
    from tests.support.acceptance.client import Client
    from tests.support.acceptance.running import Installation
    from tests.support.fixtures.installation import ApacheBroker

# The simulator first: its death opens the circuits for 30 s, which pass while others die.
VICTIMS: Final = (
    "simulator",
    *(each.name for each in PROCESSES if each.name != "simulator" and not each.is_demo),
    *("valkey", "noida-db", "kafka", "postgres"),
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
    assert running <= set(VICTIMS), "a process is never killed"
    killed = []
    async with traffic(installation.url, seed=1) as sent:
        for name in VICTIMS:
            await asyncio.sleep(_BETWEEN_S)
            if name in running:  # on Apache Kafka the broker is not
                await installation.kill(name)
                killed.append(name)
    ended = await sent.all_ended(client, within=90.0)
    assert ended["completed"] + ended["partially_refunded"] > 5 * len(killed)
    assert {each["code"] for each in sent.refused} <= _REFUSALS
    await installation.assert_sound()


@pytest.mark.asyncio(loop_scope="session")
async def test_apache_kafka_killed_loses_nothing(
    installation: Installation, apache_broker: ApacheBroker | None
) -> None:
    """The broker comes back with what it had on disk, and the relay brings the rest."""
    if apache_broker is None:
        pytest.skip("the embedded broker is killed among the processes")
    async with traffic(installation.url, seed=2) as sent:
        await asyncio.sleep(_BETWEEN_S)
        apache_broker.kill()
        await asyncio.sleep(_BETWEEN_S)
        await apache_broker.start()
    async with client_of(installation.url) as client:
        await sent.all_ended(client, within=90.0)
    await installation.assert_sound()
