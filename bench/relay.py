"""The relay by itself: how soon a consumer has what was committed, and what large messages take.

It has a database and a broker of its own. First events and work are committed at a rate, ten rows a
transaction, and read by a consumer of each topic that sees what is committed alone. Then it stops,
large messages are committed, and it works them off.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid4

from bench.figures import Figure, percentile
from bench.relaying import messages, peak_mib, relay, servers, until
from bench.revisions import OURS
from local.program import running
from process.addresses import KafkaAddress
from store.pool import connect
from topics.kafka import reader

if TYPE_CHECKING:
    import asyncpg

    from bench.relaying import Servers
    from bench.target import Target

_EVENTS: Final = "payments.events"
_CHARGES: Final = "payments.charges"
_ROWS_PER_SECOND: Final = 2_000
_TRANSACTION: Final = 10
_LARGE: Final = 3_000
# In a run that only shows that it can be run.
_FEW: Final = 20
_TINY_S: Final = 1.0
_WARM_UP_S: Final = 2.0
_LARGE_BYTES: Final = 256_000
_MD5_BYTES: Final = 32
_INSERT: Final = """
INSERT INTO outbox (
    id, aggregatetype, aggregateid, type, payload, tenant_id, sequence, occurred_at, recorded_at
)
SELECT
    id, $1, gen_random_uuid()::text, 'payment.completed',
    json_build_object('payment_id', id, 'filler', repeat('x', 400)), 'default', 1,
    clock_timestamp(), clock_timestamp()
FROM unnest($2::uuid[]) AS id
"""
# Nothing that compresses well, as what is large seldom does.
_INSERT_LARGE: Final = """
INSERT INTO outbox (
    id, aggregatetype, aggregateid, type, payload, tenant_id, sequence, occurred_at, recorded_at
)
SELECT
    gen_random_uuid(), $1, gen_random_uuid()::text, 'payment.completed',
    json_build_object('filler', filler.text), 'default', 1, clock_timestamp(), clock_timestamp()
FROM generate_series(1, $2::integer) AS row
CROSS JOIN LATERAL (
    SELECT string_agg(md5(random()::text || part), '') AS text
    FROM generate_series(1, $3::integer) AS part
) AS filler
"""


async def measure(target: Target, seconds: float) -> list[Figure]:
    """Commit to consumer of public events and of work, and the most memory for large ones."""
    del target  # it has nothing to do with the rest of the platform
    with TemporaryDirectory(prefix="payments-relay-") as name:
        async with servers(Path(name, "servers"), OURS) as given:
            found = [
                figure
                for what, topic in (("an event", _EVENTS), ("work", _CHARGES))
                for figure in await _soon(given, what, topic, seconds)
            ]
            return [*found, await _large(given, _FEW if seconds < _TINY_S else _LARGE)]


async def _soon(given: Servers, what: str, topic: str, seconds: float) -> list[Figure]:
    committed: dict[UUID, float] = {}
    ready, over = asyncio.Event(), asyncio.Event()
    async with (
        running(relay(OURS, given)),
        await connect(given.database, application_name="bench", size=4) as pool,
    ):
        reading = asyncio.create_task(_received(given, topic, ready, over, committed))
        await ready.wait()
        # Whoever has just started is slow for a moment, and is not measured.
        await _commit(pool, topic, min(seconds, _WARM_UP_S), {})
        await _commit(pool, topic, seconds, committed)
        over.set()
        took = sorted(1000 * each for each in await reading)
    note = f"{_ROWS_PER_SECOND}/s, {len(committed)} rows"
    return [
        Figure(f"{what}, commit to consumer, {share}", percentile(took, of), "ms", note)
        for share, of in (("p50", 0.5), ("p99", 0.99))
    ]


async def _commit(
    pool: asyncpg.Pool[asyncpg.Record], topic: str, seconds: float, committed: dict[UUID, float]
) -> None:
    """At the rate, whoever is late; each id with when its commit was answered."""
    every_s, began = _TRANSACTION / _ROWS_PER_SECOND, time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for number in range(int(seconds / every_s)):
            await asyncio.sleep(began + number * every_s - time.perf_counter())
            tasks.create_task(_commit_one(pool, topic, committed))


async def _commit_one(
    pool: asyncpg.Pool[asyncpg.Record], topic: str, committed: dict[UUID, float]
) -> None:
    ids = [uuid4() for _ in range(_TRANSACTION)]
    await pool.execute(_INSERT, topic, ids)
    committed.update(dict.fromkeys(ids, time.perf_counter()))


async def _received(
    given: Servers,
    topic: str,
    ready: asyncio.Event,
    over: asyncio.Event,
    committed: dict[UUID, float],
) -> list[float]:
    """How long after its commit each was received; one that was there before took no time."""
    seen: dict[UUID, float] = {}
    async with reader(
        KafkaAddress(given.bootstrap), "bench", topic, isolation_level="read_committed"
    ) as consumer:
        await consumer.seek_to_end()
        ready.set()
        while not (over.is_set() and seen.keys() >= committed.keys()):
            for batch in (await consumer.getmany(timeout_ms=200)).values():
                now = time.perf_counter()
                for each in batch:
                    seen[UUID(dict(each.headers)["ce_id"].decode())] = now
    return [max(0.0, seen[each] - at) for each, at in committed.items()]


async def _large(given: Servers, count: int) -> Figure:
    async with await connect(given.database, application_name="bench", size=1) as pool:
        for _ in range(0, count, _FEW):
            arguments = (_EVENTS, min(_FEW, count), _LARGE_BYTES // _MD5_BYTES)
            await pool.execute(_INSERT_LARGE, *arguments)
    before = await messages(given.bootstrap, _EVENTS)
    async with running(relay(OURS, given)) as process:
        await until(given.bootstrap, _EVENTS, before + count)
        note = f"{count} messages of {_LARGE_BYTES // 1000} kB"
        return Figure("memory of a relay, at most", peak_mib(process.pid), "MiB", note)
