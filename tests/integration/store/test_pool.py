"""The pool on a real Postgres: what a session is given, and how a lost one is reported."""

import asyncio
import contextlib
from dataclasses import replace

import asyncpg
import pytest

from process.addresses import DatabaseAddress
from store.pool import AWAY, close, connect, connect_single
from tests.support.front import front_of
from tests.support.waiting import in_time


async def test_a_session_gives_up_rather_than_wait_without_end(
    pool: "asyncpg.Pool[asyncpg.Record]",
) -> None:
    """And says who it is, in UTC."""
    names = [
        "application_name",
        "timezone",
        "statement_timeout",
        "lock_timeout",
        "idle_in_transaction_session_timeout",
    ]
    settings = [await pool.fetchval("SELECT current_setting($1)", name) for name in names]
    assert settings == ["tests", "UTC", "15s", "5s", "10s"]


async def test_a_commit_is_on_disk_whatever_the_server_does_for_others(
    database: DatabaseAddress,
) -> None:
    """What is stronger than that stays as it is."""
    administrator = await connect_single(database, application_name="payments migrate")
    found = []
    for configured in ("off", "local", "remote_apply"):
        name = f"ALTER DATABASE {database.database} SET synchronous_commit = '{configured}'"
        await administrator.execute(name)
        async with await connect(database, application_name="tests", size=1) as single:
            found.append(await single.fetchval("SHOW synchronous_commit"))
    await administrator.close()
    assert found == ["on", "local", "remote_apply"]


async def test_a_transaction_that_was_left_open_does_not_reach_the_next_user(
    database: DatabaseAddress,
) -> None:
    """Though a release costs no round trip."""
    async with await connect(database, application_name="tests", size=1) as single:
        with contextlib.suppress(ZeroDivisionError):
            await _fail_in_a_transaction(single)
        assert await single.fetchval("SELECT to_regclass('left_open')") is None


@pytest.mark.parametrize("is_alone", [True, False])
async def test_a_session_that_may_not_write_is_not_used_again(
    database: DatabaseAddress, *, is_alone: bool
) -> None:
    """It was made while there were no writes, and would keep to that when there are again."""
    administrator = await connect_single(database, application_name="payments migrate")
    of_new_sessions = f"ALTER DATABASE {database.database} {{}} default_transaction_read_only"
    await administrator.execute(f"{of_new_sessions.format('SET')} = on")
    async with await connect(database, application_name="tests", size=1) as single:
        await administrator.execute(of_new_sessions.format("RESET"))
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await _make_a_table(single, is_alone=is_alone)
        await _make_a_table(single, is_alone=is_alone)
    await administrator.close()


async def _make_a_table(pool: "asyncpg.Pool[asyncpg.Record]", *, is_alone: bool) -> None:
    made = "CREATE TABLE written (id int)"
    if is_alone:
        await pool.execute(made)
        return
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(made)


async def _fail_in_a_transaction(pool: "asyncpg.Pool[asyncpg.Record]") -> None:
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("CREATE TABLE left_open (id int)")
        raise ZeroDivisionError


async def test_a_session_the_server_ended_is_always_reported_as_gone(
    database: DatabaseAddress,
) -> None:
    """Whether the query was under way, or came between the server's farewell and its end."""
    killer = await connect_single(database, application_name="payments migrate")
    for _ in range(10):
        pool = await connect(database, application_name="tests", size=10)
        ends = asyncio.gather(*(_ask_until_gone(pool) for _ in range(10)))
        await killer.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        causes = await ends
        pool.terminate()
        gone = (asyncpg.PostgresConnectionError, asyncpg.AdminShutdownError)
        assert [each for each in causes if not isinstance(each, gone)] == []
    await killer.close()


async def _ask_until_gone(pool: "asyncpg.Pool[asyncpg.Record]") -> Exception:
    connection = await pool.acquire()
    try:
        while True:
            await connection.fetchval("SELECT 1 + $1", 1)
    except Exception as error:  # noqa: BLE001 # which one it is, is the question
        return error


async def test_a_server_that_went_dark_is_not_waited_for(database: DatabaseAddress) -> None:
    """Neither for its farewell nor for what it was asked: who asked is told that it is gone."""
    async with front_of(database.host, database.port) as front:
        address = replace(database, host="127.0.0.1", port=front.port)
        pool = await connect(address, application_name="tests", size=2)
        asked = asyncio.ensure_future(pool.fetchval("SELECT pg_sleep(3600)"))
        await asyncio.sleep(0)
        front.go_dark()
        async with in_time(10):
            await close(pool)
            answer: object
            (answer,) = await asyncio.gather(asked, return_exceptions=True)
        assert isinstance(answer, AWAY)
