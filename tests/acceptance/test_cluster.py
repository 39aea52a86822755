"""A cluster loses none of what it told anybody, whichever of its servers and processes dies."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

import pytest
import pytest_asyncio

from local.processes import processes_of_cluster
from tests.support.acceptance.client import client_of
from tests.support.acceptance.running import Installation
from tests.support.acceptance.traffic import traffic

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

log = logging.getLogger(__name__)

# Those whose like goes on without them, or that come back to what they had.
_SOME: Final = ("kafka-2", "postgres", "ingress")
_ALL: Final = (
    "simulator",
    *(
        each.name
        for each in processes_of_cluster()
        if not each.is_demo and each.name != "simulator"
    ),
    *("kafka-1", "kafka-2", "kafka-3", "valkey", "postgres", "postgres-2"),
)
# Enough for something to be in every stage when the blow falls.
_BETWEEN_S: Final = 0.5


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Installation]:
    started = Installation.in_folder(tmp_path_factory.mktemp("cluster"))
    started.options = ("--cluster",)
    try:
        await started.start()
        yield started
    finally:
        started.end()


async def test_a_database_that_changes_places_and_a_broker_that_dies_cost_nobody_anything(
    cluster: Installation,
) -> None:
    """The primary is killed and comes back, and its standby takes over twice."""
    await _survives(cluster, _SOME)


@pytest.mark.long
async def test_each_of_a_cluster_may_die(cluster: Installation) -> None:
    """One after the other, under traffic, with a failover at either end."""
    running = {each.name for each in cluster.record.processes}
    assert running == set(_ALL), "a process is never killed"
    await _survives(cluster, _ALL)


async def _survives(cluster: Installation, victims: tuple[str, ...]) -> None:
    async with traffic(cluster.url, seed=1) as sent, client_of(cluster.url) as client:
        await _fail_over(cluster)
        for name in victims:
            await asyncio.sleep(_BETWEEN_S)
            await cluster.kill(name)
        await _fail_over(cluster)
        await asyncio.sleep(_BETWEEN_S)
        sent.stop()
        ended = await sent.all_ended(client, within=120.0)
    log.info("nobody was answered for %.1f s at the longest", sent.silence_s)
    assert ended["completed"] + ended["partially_refunded"] > 5 * len(victims)
    await cluster.assert_sound()


async def _fail_over(cluster: Installation) -> None:
    """Return when the other one leads, and is followed."""
    before = cluster.record.primary
    run = await cluster.command("failover")
    assert run.code == 0, run.printed
    assert cluster.record.primary != before
    await cluster.until_ready()
