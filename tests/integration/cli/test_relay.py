"""`payments relay` as an operator runs it, beside a relay that runs."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, cast
from uuid import uuid4

import pytest

from local.program import CODE
from tests.support.environment import bare
from tests.support.topics.destinations import RedisDestination
from tests.support.topics.outbox import Outbox, assert_mirrors
from tests.support.topics.relays import Relays
from tests.support.waiting import eventually
from topics.names import CHARGES
from topics.relay.slot import Command, Postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    import asyncpg

    from process.addresses import DatabaseAddress, RedisAddress
    from tests.support.topics.destinations import Destination

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

    async def run(*arguments: str, typed: str = "", **variables: str) -> str:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "cli", "relay", *arguments),
            cwd=CODE,
            env=bare() | relays.environment() | variables,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        printed, complaint = await process.communicate(typed.encode())
        if process.returncode:
            raise RuntimeError(complaint.decode())
        return printed.decode()

    return run


_ASKED = ("--sink", "redis", "--reason", "a test")
_LONG_AGO = "UPDATE relay_sinks SET seen_at = seen_at - interval '1 minute'"


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


@pytest.mark.parametrize("command", ["replay", "rebuild"])
async def test_what_a_sink_does_not_carry_is_not_asked_of_its_relay(
    relays: Relays, outbox: Outbox, pool: asyncpg.Pool[asyncpg.Record], run: Run, command: str
) -> None:
    """Nor does a relay end that is asked all the same, as an older release let one be."""
    await outbox.write([uuid4()], topic=CHARGES.name)
    async with relays.running() as relay:
        with pytest.raises(RuntimeError, match=r"redis does not carry payments\.charges"):
            await run(command, *_ASKED, "--topic", CHARGES.name)
        await pool.execute(
            "INSERT INTO relay_commands (sink, command, topic, actor, reason)"
            " VALUES ('redis', $1, $2, 'ann', 'a test')",
            command,
            CHARGES.name,
        )

        async def is_told() -> bool:
            told = await pool.fetchval("SELECT outcome FROM relay_commands")
            return bool(told == "redis does not carry payments.charges")

        await eventually(is_told)
        await outbox.write([uuid4()])
        await eventually(partial(_has, relays.destination, 1))
        assert not relay.task.done()


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


@pytest.mark.parametrize("reads_table", [False, True])
async def test_a_pause_holds_for_what_fills_a_gap(
    relays: Relays,
    outbox: Outbox,
    pool: asyncpg.Pool[asyncpg.Record],
    monkeypatch: pytest.MonkeyPatch,
    run: Run,
    *,
    reads_table: bool,
) -> None:
    """Though it was asked for before the start; whatever else is asked waits for the resume."""
    relays = replace(relays, reads_table=reads_table)
    destination = relays.destination
    assert isinstance(destination, RedisDestination)
    async with relays.running():
        ids = set(await outbox.write_many(20))
        await eventually(partial(_has, destination, len(ids)))
    await destination.empty()
    await pool.execute(
        "INSERT INTO relay_commands (sink, command, actor, reason)"
        " VALUES ('redis', 'pause', 'ann', 'a test')"
    )
    async with relays.running() as relay:
        assert relay.value("paused") == 1
        for command in (("rebuild",), ("replay",), ("retry", str(uuid4()))):
            assert "is paused" in await run(*command, *_ASKED)
        (status,) = [json.loads(line) for line in (await run("status", "--json")).splitlines()]
        assert (status["is_paused"], status["commands_waiting"]) == (True, 3)
        await _looked_again(monkeypatch)
        assert await destination.count() == 0
    # Over a restart, too, and it can be stopped.
    async with relays.running() as relay:
        await _looked_again(monkeypatch)
        assert (await destination.count(), relay.value("refilled_total")) == (0, 0)
        assert "publishes" in await run("resume", *_ASKED)
        await eventually(partial(_has, destination, 2 * len(ids)))
        done = "SELECT bool_and(done_at IS NOT NULL) FROM relay_commands"

        async def is_done() -> bool:
            return bool(await pool.fetchval(done))

        await eventually(is_done)
    # Once by what fills the gap, and once more because that was asked.
    found = [message.id for message in await destination.messages()]
    assert {each: found.count(each) for each in ids} == dict.fromkeys(ids, 2)


async def test_what_is_asked_of_a_paused_relay_waits(
    relays: Relays, outbox: Outbox, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    """One that had all: nothing is sent again, nor called done, before it is resumed."""
    async with relays.running():
        await outbox.write([uuid4() for _ in range(5)])
        await eventually(partial(_has, relays.destination, 5))
        await run("pause", *_ASKED)
        for command in ("replay", "rebuild"):
            assert "is paused" in await run(command, *_ASKED)
        await _looked_again(monkeypatch)
        assert await relays.destination.count() == 5
        (status,) = [json.loads(line) for line in (await run("status", "--json")).splitlines()]
        assert status["commands_waiting"] == 2
        await run("resume", *_ASKED)
        await eventually(partial(_has, relays.destination, 10))


@pytest.mark.parametrize("reads_table", [False, True])
async def test_status_tells_what_the_relay_does(
    relays: Relays,
    outbox: Outbox,
    pool: asyncpg.Pool[asyncpg.Record],
    run: Run,
    *,
    reads_table: bool,
) -> None:
    """Also of one that has no slot by which that could be seen, and of one that never ran."""
    relays = replace(relays, reads_table=reads_table)
    assert (await run("status")).count("never ran") == 2
    async with relays.running():
        await outbox.write([uuid4() for _ in range(3)])
        await eventually(partial(_has, relays.destination, 3))

        async def is_kept() -> bool:
            return bool(await pool.fetchval("SELECT count(*) FROM relay_checkpoints"))

        await eventually(is_kept)
        assert ("reads the table" if reads_table else "publishes") in await run("status")
        await run("pause", *_ASKED)
        assert "paused" in await run("status")
        await pool.execute("UPDATE relay_sinks SET has_gap = TRUE")
        assert "paused, with a gap to fill" in await run("status")
        await pool.execute("UPDATE relay_sinks SET is_paused = FALSE")
        assert "fills a gap" in await run("status")
    await outbox.write([uuid4() for _ in range(4)])
    printed = await run("status")
    assert "nobody reads it" in printed
    assert ("4 rows" in printed) is reads_table
    assert "given up: nobody reads it" in await run("status", PAYMENTS_OUTBOX_SINKS="kafka")


@pytest.mark.parametrize("reads_table", [False, True])
async def test_a_sink_that_is_given_up_holds_no_wal(
    relays: Relays,
    outbox: Outbox,
    pool: asyncpg.Pool[asyncpg.Record],
    run: Run,
    *,
    reads_table: bool,
) -> None:
    """Refused while a relay has it, or may begin again; then the slot and the rest are gone."""
    relays = replace(relays, reads_table=reads_table)
    async with relays.running():
        await outbox.write([uuid4()])
        with pytest.raises(RuntimeError, match="a relay reads"):
            await run("drop", "--sink", "redis", "--yes")
    with pytest.raises(RuntimeError, match="begin again"):
        await run("drop", "--sink", "redis", "--yes")
    await pool.execute(_LONG_AGO)
    await run("drop", "--sink", "redis", "--yes")
    slots = "SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1"
    assert await pool.fetchval(slots, relays.slot) == 0
    with pytest.raises(RuntimeError, match="ever ran"):
        await run("pause", *_ASKED)


async def test_what_is_set_aside_does_not_go_without_a_word(
    pool: asyncpg.Pool[asyncpg.Record], run: Run
) -> None:
    """It is refused, and where it is wished the question says how many they are."""
    await pool.execute("INSERT INTO relay_sinks (sink, slot, is_paused) VALUES ('redis', '', TRUE)")
    await pool.execute(
        "INSERT INTO relay_set_aside (sink, position, id, topic, key, message, reason)"
        " SELECT 'redis', n, gen_random_uuid(), 'payments.events', 'k', '[]', 'too large'"
        " FROM generate_series(1, 3) AS n"
    )
    with pytest.raises(RuntimeError, match="3 messages are set aside"):
        await run("drop", "--sink", "redis", "--yes")
    with pytest.raises(RuntimeError, match="Aborted"):
        await run("drop", "--sink", "redis", "--with-set-aside")
    count = "SELECT count(*) FROM relay_set_aside"
    assert await pool.fetchval(count) == 3
    printed = await run("drop", "--sink", "redis", "--with-set-aside", typed="y\n")
    assert "3 messages set aside, which it will never have, that it is paused. Go on?" in printed
    assert await pool.fetchval(count) == 0


async def _has(destination: Destination, count: int) -> bool:
    return await destination.count() == count


async def _looked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the relay of this process has asked twice more what is wanted of it."""
    asked, ask = 0, Postgres.commands

    async def counted(postgres: Postgres, sink: str) -> list[Command]:
        nonlocal asked
        found = await ask(postgres, sink)
        asked += 1
        return found

    with monkeypatch.context() as patch:
        patch.setattr(Postgres, "commands", counted)
        await eventually(lambda: asked >= 2)
