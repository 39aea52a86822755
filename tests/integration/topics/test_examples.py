"""The examples of consumers in docs/examples do what they say, after a restart too."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import pytest

from local.program import CODE
from tests.support.topics.broker_clients import create_topic
from tests.support.topics.destinations import KafkaDestination, RedisDestination
from tests.support.topics.messages import append, publish
from tests.support.waiting import eventually
from topics.contracts.channels import EVENTS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import asyncpg

    from process.addresses import DatabaseAddress
    from tests.support.topics.destinations import Destination

EXAMPLES: Final = CODE / "docs/examples"
AMOUNTS: Final = ("10.00", "2.50", "0.75")


@asynccontextmanager
async def running(folder: Path, name: str, *arguments: str) -> AsyncIterator[Path]:
    """The example, its output in a file; Ctrl-C ends it."""
    out = folder / f"{name}-{uuid4().hex}"
    with out.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(EXAMPLES / name), *arguments),
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(CODE)},
            stdout=file,
            stderr=file,
        )
    try:
        yield out
    finally:
        process.send_signal(signal.SIGINT)
        await process.wait()


async def write(destination: Destination, values: list[str]) -> None:
    """Completed payments of these amounts, of one key; on Redis with others' entries between."""
    key = str(uuid4())
    for sequence, amount in enumerate(values, 1):
        payment = f'{{"payment":{{"id":"{key}","amount":"{amount}","currency":"USD"}}}}'
        more = {"ce_sequence": str(sequence), "ce_type": "payment.completed"}
        if isinstance(destination, KafkaDestination):
            await publish(destination.bootstrap, EVENTS, [(key, uuid4())], value=payment, more=more)
        else:
            assert isinstance(destination, RedisDestination)
            async with destination.client() as client:
                await append(client, EVENTS, [(key, uuid4())], value=payment, more=more)
                await client.xadd(EVENTS, {"hello": "world"})


def told(out: Path) -> list[str]:
    """The amounts it printed, in order."""
    lines = [line.split() for line in out.read_text().splitlines()]
    return [words[-1] for words in lines if len(words) == 4 and words[0].isdecimal()]


@pytest.fixture
async def kafka_topic(kafka: KafkaDestination) -> KafkaDestination:
    await create_topic(kafka.bootstrap, EVENTS, 2)
    return kafka


@pytest.mark.parametrize("name", ["subscribe.py", "plain_kafka.py"])
async def test_a_consumer_of_kafka_goes_on_where_it_was(
    kafka_topic: KafkaDestination, tmp_path: Path, name: str
) -> None:
    """In order, and what it had done is not done again."""
    await write(kafka_topic, list(AMOUNTS))
    arguments = (kafka_topic.bootstrap, f"mail-{uuid4().hex}")
    async with running(tmp_path, name, *arguments) as out:
        await eventually(lambda: told(out) == list(AMOUNTS), within=60)
    await write(kafka_topic, ["4.00"])
    async with running(tmp_path, name, *arguments) as out:
        await eventually(lambda: bool(told(out)), within=60)
    assert told(out) == ["4.00"]


async def test_a_consumer_of_redis_streams_goes_on_where_it_was(
    redis_streams: RedisDestination, tmp_path: Path
) -> None:
    """It passes over what is no message, and acknowledges that, too."""
    await write(redis_streams, list(AMOUNTS))
    arguments = (redis_streams.address.url, "mail")
    async with running(tmp_path, "plain_redis.py", *arguments) as out:
        await eventually(lambda: told(out) == list(AMOUNTS), within=60)
        await eventually(lambda: out.read_text().count("attention") == len(AMOUNTS))
    await write(redis_streams, ["4.00"])
    async with running(tmp_path, "plain_redis.py", *arguments) as out:
        await eventually(lambda: bool(told(out)), within=60)
    assert told(out) == ["4.00"]


async def test_offsets_in_a_transaction_of_its_own_count_each_payment_once(
    kafka_topic: KafkaDestination,
    database: DatabaseAddress,
    pool: asyncpg.Pool[asyncpg.Record],
    tmp_path: Path,
) -> None:
    """Killed and started again, with nothing committed to Kafka, the sum is the sum."""
    address = (
        f"host={database.host} port={database.port} user={database.user}"
        f" password={database.password} dbname={database.database}"
    )
    arguments = ("own_transaction.py", kafka_topic.bootstrap, f"sums-{uuid4().hex}", address)

    async def sum_is(amount: Decimal) -> bool:
        if not await pool.fetchval("SELECT to_regclass('completed_sums')"):
            return False
        return bool(await pool.fetchval("SELECT sum(amount) FROM completed_sums") == amount)

    await write(kafka_topic, list(AMOUNTS))
    async with running(tmp_path, *arguments):
        await eventually(lambda: sum_is(Decimal("13.25")), within=60)
    await write(kafka_topic, ["4.00"])
    async with running(tmp_path, *arguments):
        await eventually(lambda: sum_is(Decimal("17.25")), within=60)
