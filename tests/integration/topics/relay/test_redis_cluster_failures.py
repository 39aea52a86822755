"""What a cluster can do to the mirror: lose a server, or hear of another writer."""

from __future__ import annotations

import asyncio
import signal
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest

from lag.redis_groups import RedisGroups
from lag.targets import LagTargets
from process.addresses import KafkaAddress
from store.redis import AWAY
from tests.support.fixtures.redis_cluster import Cluster, cluster
from tests.support.topics.destinations import RedisDestination
from tests.support.topics.outbox import Outbox, assert_mirrors
from tests.support.topics.relays import Relays
from tests.support.waiting import eventually
from topics.contracts.channels import ACCOUNTS, EVENTS
from topics.subscribe import subscribe_redis

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from process.addresses import DatabaseAddress

_TOPICS = (EVENTS, ACCOUNTS)


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with cluster(tmp_path) as made:
        yield made


@pytest.fixture
def relays(database: DatabaseAddress, nodes: Cluster) -> Relays:
    return Relays(database, RedisDestination(nodes.address))


async def _written(outbox: Outbox) -> None:
    """A row of each topic for some payments."""
    keys = [uuid4() for _ in range(5)]
    for topic in _TOPICS:
        await outbox.write(keys, topic=topic, rows_per_key=2)


async def _assert_mirrored(relays: Relays, outbox: Outbox, within: float = 60.0) -> None:
    """Streams of different servers, each with all its rows, once and in order."""
    wanted = {topic: await outbox.ids(topic) for topic in _TOPICS}

    async def has_all() -> bool:
        try:
            counts = [await relays.destination.count(topic) for topic in _TOPICS]
        except AWAY:
            return False
        return counts >= [len(wanted[topic]) for topic in _TOPICS]

    await eventually(has_all, within)
    for topic in _TOPICS:
        assert_mirrors(await relays.destination.messages(topic), wanted[topic])


async def test_nothing_is_lost_or_repeated_when_a_server_dies(
    relays: Relays, nodes: Cluster, outbox: Outbox
) -> None:
    """Its replica may lack what was acknowledged last, and consumers go on with whoever has it."""
    seen: set[UUID] = set()

    async def consume() -> None:
        while True:
            messages = subscribe_redis(nodes.address, _TOPICS, group="mail")
            with suppress(*AWAY):
                async with aclosing(messages):
                    async for message in messages:
                        seen.add(message.id)

    async with relays.running(), asyncio.TaskGroup() as tasks:
        consuming = tasks.create_task(consume())
        await _written(outbox)
        await _assert_mirrored(relays, outbox)
        await eventually(nodes.is_copied)
        for number in range(40):
            await _written(outbox)
            if number == 20:
                nodes.processes[2].send_signal(signal.SIGKILL)
                await nodes.processes[2].wait()
        await _assert_mirrored(relays, outbox)
        ids = await outbox.ids(*_TOPICS)
        await eventually(lambda: seen == ids, 60)
        consuming.cancel()


@pytest.mark.parametrize("topic", _TOPICS)
async def test_a_relay_that_was_replaced_appends_nothing(
    relays: Relays, outbox: Outbox, topic: str
) -> None:
    """Each stream has its own word on who writes to it, wherever it is."""
    destination = relays.destination
    assert isinstance(destination, RedisDestination)
    async with relays.running() as relay:
        await _written(outbox)
        await _assert_mirrored(relays, outbox)
        async with destination.client() as opened:
            assert await opened.set(f"{{{topic}}}:relay:writer", "another relay", xx=True)
        await _written(outbox)
        await _assert_mirrored(relays, outbox)
        assert relay.value("restarts_total", reason="sink") == 1


async def test_lag_finds_the_groups_of_all_its_servers(
    relays: Relays, nodes: Cluster, outbox: Outbox, database: DatabaseAddress
) -> None:
    """A stream's groups are with it."""
    groups = RedisGroups(
        LagTargets(kafka=KafkaAddress("127.0.0.1:1"), redis=nodes.address, database=database)
    )
    async with relays.running():
        await _written(outbox)
        await _assert_mirrored(relays, outbox)
    destination = relays.destination
    assert isinstance(destination, RedisDestination)
    async with destination.client() as opened:
        for topic in _TOPICS:
            await opened.xgroup_create(topic, "mail", id="0", entries_read=0)
    found = {each.stream: (each.group, each.messages) for each in await groups.measure(0.0)}
    assert found == dict.fromkeys(_TOPICS, ("mail", 10))
    await groups.close()
