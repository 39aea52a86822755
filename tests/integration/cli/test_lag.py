"""`payments lag` measures by itself, with nothing of ours running."""

import asyncio
import os
import sys

import orjson
import pytest

from process.addresses import DatabaseAddress, RedisAddress
from tests.support.environment import NO_ENV_FILE


@pytest.fixture
def variables(
    kafka_bootstrap: str, database: DatabaseAddress, redis_address: RedisAddress
) -> dict[str, str]:
    """The environment of somebody whose servers these are."""
    return {
        **NO_ENV_FILE,
        "PATH": os.environ["PATH"],
        "PAYMENTS_DATABASE_HOST": database.host,
        "PAYMENTS_DATABASE_PORT": str(database.port),
        "PAYMENTS_DATABASE_USER": database.user,
        "PAYMENTS_DATABASE_PASSWORD": database.password,
        "PAYMENTS_DATABASE_DATABASE": database.database,
        "PAYMENTS_REDIS_HOST": redis_address.host,
        "PAYMENTS_REDIS_PORT": str(redis_address.port),
        "PAYMENTS_KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap,
    }


async def lag(variables: dict[str, str], *arguments: str) -> tuple[str, str]:
    """What the command prints, on stdout and on stderr; it must succeed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cli", "lag", *arguments, env=variables,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return output.decode(), errors.decode()


async def test_json_is_one_object_with_every_stage_and_slot(variables: dict[str, str]) -> None:
    """Stages that never ran are stopped, slots nobody made are missing, all sources answered."""
    output, _ = await lag(variables, "--json")
    report = orjson.loads(output)
    stages = {group["group"]: group["state"] for group in report["groups"]}
    assert (
        stages.items()
        >= {
            "payments.charge": "stopped",
            "payments.refund": "stopped",
            "payments.dead-letters": "stopped",
        }.items()
    )
    slots = {slot["slot"]: slot["wal_status"] for slot in report["slots"]}
    assert slots == {"payments_kafka": "missing", "payments_redis": "missing"}
    assert report["unavailable"] == []


async def test_a_source_that_is_away_is_a_line_below_the_tables(variables: dict[str, str]) -> None:
    """The others are shown, and no driver's complaint gets between the lines."""
    output, errors = await lag(variables | {"PAYMENTS_REDIS_PORT": "1"})
    assert "payments.charge" in output
    assert "redis unavailable:" in output
    assert errors == ""
