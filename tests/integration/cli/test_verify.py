"""The command as an operator runs it: what it prints, and its exit code."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING

import pytest

from local.program import CODE, free_port
from tests.support.environment import bare
from tests.support.verify.world import live

if TYPE_CHECKING:
    from pathlib import Path

    import asyncpg

    from process.addresses import DatabaseAddress, RedisAddress
    from store.write.group_commit import GroupCommitter


@pytest.fixture
def where(
    database: DatabaseAddress, redis_address: RedisAddress, kafka_bootstrap: str, tmp_path: Path
) -> dict[str, str]:
    """The variables that lead to the test's servers, and to no run of anybody's."""
    return _environment(database, redis_address, kafka_bootstrap, tmp_path)


async def test_what_is_wrong_is_shown_and_the_exit_code_says_so(
    committer: GroupCommitter, pool: asyncpg.Pool[asyncpg.Record], where: dict[str, str]
) -> None:
    """A corrupted ledger and relays that never ran: exit 1, each under its invariant."""
    await live(committer)
    await pool.execute("UPDATE accounts SET debits_pending = debits_pending + 1")
    code, printed = await _verify(where, "--json")
    assert code == 1, printed
    report = json.loads(printed)
    verdicts = {each["invariant"]: each["verdict"] for each in report["invariants"]}
    assert not report["holds"]
    assert verdicts["I2"] == verdicts["I13"] == "violated"
    assert verdicts["I1"] == verdicts["I4"] == verdicts["I11"] == "holds"
    code, printed = await _verify(where, "--wait", "0.1")
    assert code == 1
    assert "slot payments_kafka does not exist" in printed
    assert "is held, its open payments are of" in printed


async def test_a_database_that_is_away_is_one_sentence(where: dict[str, str]) -> None:
    """Nothing could be checked: exit 2."""
    code, printed = await _verify({**where, "PAYMENTS_DATABASE_PORT": str(free_port())})
    assert code == 2
    assert printed.startswith("payments verify: the database cannot be read")
    assert printed.count("\n") == 1


def _environment(
    database: DatabaseAddress, cache: RedisAddress, kafka: str, directory: Path
) -> dict[str, str]:
    theirs = bare()
    return {
        **theirs,
        "PAYMENTS_HOME": str(directory),
        "PAYMENTS_DATABASE_HOST": database.host,
        "PAYMENTS_DATABASE_PORT": str(database.port),
        "PAYMENTS_DATABASE_USER": database.user,
        "PAYMENTS_DATABASE_PASSWORD": database.password,
        "PAYMENTS_DATABASE_DATABASE": database.database,
        "PAYMENTS_REDIS_HOST": cache.host,
        "PAYMENTS_REDIS_PORT": str(cache.port),
        "PAYMENTS_KAFKA_BOOTSTRAP_SERVERS": kafka,
    }


async def _verify(environment: dict[str, str], *arguments: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli", "verify", *arguments),
        cwd=CODE,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, printed.decode()
