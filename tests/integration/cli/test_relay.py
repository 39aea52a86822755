"""`payments relay` as an operator runs it, beside a relay that runs."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, cast
from uuid import uuid4

import pytest

from local.program import CODE
from tests.support.environment import bare
from tests.support.topics.destinations import RedisDestination
from tests.support.topics.outbox import Outbox, assert_mirrors
from tests.support.topics.relays import Relays
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    import asyncpg

    from process.addresses import DatabaseAddress, RedisAddress

    Run = Callable[..., Coroutine[object, object, str]]


@pytest.fixture
def outbox(pool: asyncpg.Pool[asyncpg.Record]) -> Outbox:
    return Outbox(pool)


@pytest.fixture
def relays(database: DatabaseAddress, redis_address: RedisAddress) -> Relays:
    return Relays(database, RedisDestination(redis_address))


@pytest.fixture
def run(relays: Relays) -> Run:
    """Runs `payments relay` and returns what it prints; raises what it refuses."""

    async def run(*arguments: str) -> str:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "cli", "relay", *arguments),
            cwd=CODE,
            env=bare() | relays.environment(),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        printed, complaint = await process.communicate()
        if process.returncode:
            raise RuntimeError(complaint.decode())
        return printed.decode()

    return run


_ASKED = ("--sink", "redis", "--reason", "a test")


async def test_it_is_paused_and_resumed(relays: Relays, outbox: Outbox, run: Run) -> None:
    """Also over a restart; what was written meanwhile is published when it goes on."""
    async with relays.running() as relay:
        assert "publishes nothing" in await run("pause", *_ASKED)
        assert relay.value("paused") == 1
        await outbox.write([uuid4()])
    async with relays.running() as relay:
        (status,) = [json.loads(line) for line in (await run("status", "--json")).splitlines()]
        assert (status["is_paused"], status["is_active"]) == (True, True)
        await outbox.write([uuid4()])
        assert await relays.destination.count() == 0
        assert "publishes" in await run("resume", *_ASKED)

        async def has_all() -> bool:
            return await relays.destination.count() == 2

        await eventually(has_all)
        assert relay.value("paused") == 0
    assert "nobody reads it" in await run("status")


async def test_messages_are_sent_again_when_that_is_asked(
    relays: Relays, outbox: Outbox, run: Run
) -> None:
    """Those of one key, in order, with the same bytes."""
    key = uuid4()
    async with relays.running():
        ids = await outbox.write([key], rows_per_key=3)
        await outbox.write([uuid4() for _ in range(5)])

        async def has_all() -> bool:
            return await relays.destination.count() == 8

        await eventually(has_all)
        printed = await run("replay", *_ASKED, "--key", str(key), "--from", "2024-01-01")
        assert "3 messages" in printed
    found = await relays.destination.messages()
    assert [message.id for message in found if message.key == str(key)] == [*ids, *ids]


async def test_a_rebuild_adds_what_is_missing_and_nothing_else(
    relays: Relays, outbox: Outbox, run: Run
) -> None:
    """Entries that somebody deleted by hand come back; the others stay as they are."""
    destination = relays.destination
    assert isinstance(destination, RedisDestination)
    async with relays.running() as relay:
        ids = set(await outbox.write_many(20))

        async def has_all() -> bool:
            return await destination.count() == len(ids)

        await eventually(has_all)
        async with destination.client() as client:
            page = await client.xrevrange("payments.events", count=1)
            ((last, _),) = cast("list[tuple[bytes, dict[bytes, bytes]]]", page)
            await client.xdel("payments.events", last)
        await run("rebuild", *_ASKED)
        await eventually(lambda: relay.value("refilled_total") == 1)
        await eventually(has_all)
        assert_mirrors(await destination.messages(), ids)


async def test_a_sink_that_is_given_up_holds_no_wal(
    relays: Relays, outbox: Outbox, pool: asyncpg.Pool[asyncpg.Record], run: Run
) -> None:
    """Refused while a relay reads it; afterwards the slot and what is kept of it are gone."""
    async with relays.running():
        await outbox.write([uuid4()])
        with pytest.raises(RuntimeError, match="reads"):
            await run("drop", "--sink", "redis", "--yes")
    await run("drop", "--sink", "redis", "--yes")
    slots = "SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1"
    assert await pool.fetchval(slots, relays.slot) == 0
    with pytest.raises(RuntimeError, match="ever ran"):
        await run("pause", *_ASKED)
