"""Redis Cluster: each key is where it is, and whoever uses Redis need not know."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from prometheus_client import CollectorRegistry

from agents.provider_work.locks import Locks
from api.access.rate_limits import Limit, RateLimiter, Subject
from api.http.problems import Problem
from process.addresses import RedisAddress
from store.batched_redis import BatchedRedis, RedisAway
from store.redis import REFUSED, client, refuse_wrong_credentials
from telemetry.metrics import Metrics
from tests.support.fixtures.redis_cluster import Cluster, cluster
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


_PATIENCE_S = 5.0


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with cluster(tmp_path) as made:
        yield made


async def test_keys_of_all_slots_share_a_round(nodes: Cluster) -> None:
    """As the replay cache asks and tells: a batch goes to each server what is its own."""
    async with client(nodes.address) as opened, BatchedRedis(opened).running() as batched:
        names = [f"payments:replay:{number}" for number in range(100)]
        values = [name.encode() for name in names]

        # A busy machine may be too slow for a payment to wait for, and is asked again then.
        async def all_are_there() -> bool:
            told = [batched.tell("SET", name, name, "EX", 60) for name in names]
            asked = (batched.ask("GET", name) for name in names)
            answers = await asyncio.gather(*asked, return_exceptions=True)
            return all(told) and answers == values

        await eventually(all_are_there, within=30)


async def test_locks_keep_others_off_and_limits_count(nodes: Cluster) -> None:
    """Their scripts have one key each."""
    metrics = Metrics(CollectorRegistry())
    async with (
        client(nodes.address) as opened,
        client(nodes.address) as others,
        Locks(opened, 30.0, metrics).kept() as mine,
        Locks(others, 30.0, metrics).kept() as theirs,
        BatchedRedis(opened).running() as batched,
    ):

        async def only_one_has_each() -> bool:
            had = []
            for payment in [uuid4() for _ in range(20)]:
                async with mine.held(payment) as is_mine, theirs.held(payment) as is_theirs:
                    had.append((is_mine, is_theirs))
            return had == [(True, False)] * 20

        await eventually(only_one_has_each, within=30)
        limiter = RateLimiter(batched, {"write": Limit(0.01, 2)}, metrics)

        async def passed() -> int:
            """Of four requests of a tenant of its own, which may have two."""
            subject, count = Subject("write", str(uuid4())), 0
            for _ in range(4):
                with suppress(Problem):
                    await limiter.pass_or_refuse(subject)
                    count += 1
            return count

        async def each_has_its_burst() -> bool:
            return [await passed() for _ in range(5)] == [2] * 5

        await eventually(each_has_its_burst, within=30)


async def test_a_server_that_dies_takes_its_own_keys_alone_until_its_replica_has_them(
    nodes: Cluster,
) -> None:
    """Without them one goes on without Redis; nobody need be told who has them then."""
    async with client(nodes.address) as opened, BatchedRedis(opened).running() as batched:
        names = [f"payments:replay:{number}" for number in range(60)]

        async def all_are_set() -> bool:
            asked = (batched.ask("SET", name, "1") for name in names)
            answers = await asyncio.gather(*asked, return_exceptions=True)
            return not any(isinstance(each, RedisAway) for each in answers)

        await eventually(all_are_set, within=30)

        async def is_there(name: str) -> bool:
            try:
                return await batched.ask("GET", name) == b"1"
            except RedisAway:
                return False

        found: list[int] = []

        async def none_is_missing() -> bool:
            found.append(sum(await asyncio.gather(*map(is_there, names))))
            return found[-1] == len(names)

        await eventually(nodes.is_copied)
        nodes.processes[2].send_signal(signal.SIGKILL)
        await nodes.processes[2].wait()
        await eventually(none_is_missing, within=60)
        partly = [each for each in found if 0 < each < len(names)]
        assert len(partly) > 1, found


async def test_what_is_a_cluster_is_said(nodes: Cluster, redis_address: RedisAddress) -> None:
    """Two thirds of the keys would be missed for ever."""
    one = replace(nodes.address, cluster=())
    async with client(one, timeout_s=_PATIENCE_S) as opened:
        with pytest.raises(REFUSED, match="is one of a cluster"):
            await refuse_wrong_credentials(opened)
    async with client(nodes.address, timeout_s=_PATIENCE_S) as opened:
        await refuse_wrong_credentials(opened)
    alone = replace(redis_address, cluster=((redis_address.host, redis_address.port),))
    async with client(alone, timeout_s=_PATIENCE_S) as opened:
        with pytest.raises(REFUSED, match="none of a cluster"):
            await refuse_wrong_credentials(opened)
    async with client(replace(alone, cluster=(("127.0.0.1", 1),))) as opened:
        await refuse_wrong_credentials(opened)


async def test_who_is_not_known_to_a_cluster_is_refused(nodes: Cluster) -> None:
    wrong = replace(nodes.address, user="nobody", password="wrong")
    async with client(wrong, timeout_s=_PATIENCE_S) as opened:
        with pytest.raises(REFUSED, match="invalid username-password pair"):
            await refuse_wrong_credentials(opened)
