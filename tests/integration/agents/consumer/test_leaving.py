"""A worker that is told to stop leaves its group, whatever the group is doing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pytest
from aiokafka.admin import AIOKafkaAdminClient

from tests.support.waiting import eventually
from topics.names import by_command

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.fixtures.processes import OurProcess, Platform

_COMMAND = "dead-letters"
_GROUP = by_command()[_COMMAND].group
_STATE, _MEMBERS = 2, 5


@pytest.fixture
async def admin(platform: Platform) -> AsyncIterator[AIOKafkaAdminClient]:
    """Who sees the group as its broker does."""
    client = AIOKafkaAdminClient(bootstrap_servers=platform.kafka)
    await client.start()
    yield client
    await client.close()


async def group_of(admin: AIOKafkaAdminClient) -> tuple[str, int]:
    """Its state, and how many members it has."""
    (answer,) = await admin.describe_consumer_groups([_GROUP])
    (described,) = answer.groups
    return described[_STATE], len(described[_MEMBERS])


def end_of(process: OurProcess) -> object:
    """Whether it ended in time, by its own word."""
    last = orjson.loads(process.said.splitlines()[-1])
    assert last["message"] == "stopped", last
    return last["in_time"]


async def joined(admin: AIOKafkaAdminClient, worker: OurProcess, members: int = 1) -> None:
    """Start it, and return when its group is at rest."""
    await worker.start()

    async def is_at_rest() -> bool:
        return await group_of(admin) == ("Stable", members)

    await eventually(is_at_rest, within=30)


async def test_a_worker_that_stops_leaves_its_group(
    platform: Platform, admin: AIOKafkaAdminClient
) -> None:
    """At once, so that nobody waits for its session to be over."""
    worker = platform.process("leaver", "agents", _COMMAND)
    await joined(admin, worker)
    assert await worker.drain() == 0
    assert end_of(worker)
    assert (await group_of(admin))[1] == 0


async def test_workers_stop_in_the_middle_of_a_rebalance(
    platform: Platform, admin: AIOKafkaAdminClient
) -> None:
    """They wait for one that stands still, as they join or join again: not when told to stop."""
    sleeper, worker, joining = (
        platform.process(name, "agents", _COMMAND, PAYMENTS_OBSERVABILITY_LOG_LEVEL="debug")
        for name in ("sleeper", "worker", "joining")
    )
    await joined(admin, sleeper)
    await joined(admin, worker, members=2)
    sleeper.freeze()
    joining.launch()
    # As its client says it.
    before = worker.said.count("(Re-)joining")
    await eventually(lambda: "(Re-)joining" in joining.said, within=30)
    await eventually(lambda: worker.said.count("(Re-)joining") > before, within=30)
    for each in (joining, worker):
        assert await each.drain() == 0
        assert end_of(each) == (each is worker)
        assert "could not take leave" not in each.said
    sleeper.thaw()
    assert await sleeper.drain() == 0
    assert (await group_of(admin))[1] == 0
