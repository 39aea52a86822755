"""House-keeping on a real Postgres: each step by itself, and nobody waits for it."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import pytest

from agents.schedule import Schedule
from payments.progress import Policy
from providers.registry import NAMES
from store import partitions
from store.housekeeping import keep_house, keep_house_by_both_clocks
from store.pool import connect_single
from store.queries import bound, query
from tests.support.waiting import eventually
from topics.relay.positions import Checkpoint

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    import asyncpg

    from process.addresses import DatabaseAddress
    from store.write.group_commit import GroupCommitter
    from telemetry.metrics import Metrics

_WEEK_S: Final = 604_800.0
_NOW: Final = datetime.now(UTC)
# No partition of these days was made when the database was migrated.
_LATER: Final = _NOW + timedelta(days=20)
_MUCH_LATER: Final = _NOW + timedelta(days=50)
_ALL: Final = {
    "make_partitions",
    "make_history_partitions",
    "move_stray_rows",
    "drop_partitions",
    "forget_idempotency_keys",
    "forget_provider_events",
    "forget_provider_states",
    "forget_webhook_events",
}
_SAID: Final = """
INSERT INTO outbox
    (id, aggregatetype, aggregateid, type, payload, tenant_id, occurred_at, recorded_at)
SELECT gen_random_uuid(), 'payments.events', 'key', 'payment.created', '{}', 'default', $1, $1
FROM generate_series(1, $2::integer)
"""

_ASKED: Final = """
INSERT INTO idempotency_keys (tenant_id, key, fingerprint, status, headers, body, recorded_at)
VALUES ('default', $1, '', 202, '{}', '', $2)
"""


async def said(pool: asyncpg.Pool[asyncpg.Record], at: datetime, count: int = 1) -> None:
    """So many rows of that time."""
    await pool.execute(_SAID, at, count)


async def places(pool: asyncpg.Pool[asyncpg.Record]) -> dict[str, int]:
    """How many rows of the outbox lie where."""
    rows = await pool.fetch(
        "SELECT tableoid::regclass::text AS place, count(*) FROM outbox GROUP BY place"
    )
    return {row["place"]: row["count"] for row in rows}


async def kept(pool: asyncpg.Pool[asyncpg.Record], now: datetime) -> dict[str, str | None]:
    """Each step and what refused it."""
    return {each.step: each.refusal for each in await keep_house(pool, now, _WEEK_S)}


async def a_sink(
    pool: asyncpg.Pool[asyncpg.Record], sink: str, floor: int | None, marks: Mapping[str, object]
) -> None:
    """One that is known; with a floor, it was seen to have all up to there."""
    await pool.execute(query("know_sink"), sink)
    if floor is not None:
        await seen(pool, sink, floor, marks, _NOW - timedelta(minutes=1))


async def seen(
    pool: asyncpg.Pool[asyncpg.Record],
    sink: str,
    floor: int,
    marks: Mapping[str, object],
    at: datetime,
) -> None:
    """A checkpoint of a sink."""
    await pool.execute(
        "INSERT INTO relay_checkpoints (sink, kept_for, floor_position, lsn, timeline,"
        " system_identifier, marks, taken_at) VALUES ($1, $2, $3, '0/0', 1, '7', $4, $2)",
        sink,
        at,
        floor,
        json.dumps(marks),
    )


def refused(outcomes: dict[str, str | None]) -> set[str]:
    return {step for step, refusal in outcomes.items() if refusal}


def place(day: datetime) -> str:
    return f"outbox_p{day:%Y%m%d}"


@asynccontextmanager
async def reader(
    database: DatabaseAddress, pool: asyncpg.Pool[asyncpg.Record], name: str = "pg_dump"
) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """Somebody who has read the outbox for more than a second, and goes on."""
    connection = await connect_single(database, application_name=name)
    try:
        async with connection.transaction():
            await connection.fetch("SELECT FROM outbox")
            await eventually(lambda: _is_old(pool, name))
            yield connection
    finally:
        await connection.close()


async def _is_old(pool: asyncpg.Pool[asyncpg.Record], name: str) -> bool:
    query = (
        "SELECT count(*) = 1 FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name = $1 AND xact_start < clock_timestamp() - interval '1.1 seconds'"
    )
    return bool(await pool.fetchval(query, name))


async def test_after_weeks_without_a_schedule_all_is_put_right(
    pool: asyncpg.Pool[asyncpg.Record],
) -> None:
    """Rows of days without a partition are moved into their own; the next days have one."""
    for at in (_LATER - timedelta(days=1), _LATER, _LATER + timedelta(days=1)):
        await said(pool, at, 3)
    assert await places(pool) == {"outbox_default": 9}
    assert await kept(pool, _LATER) == dict.fromkeys(_ALL)
    assert await places(pool) == {place(_LATER + timedelta(days=days)): 3 for days in (-1, 0, 1)}
    await said(pool, _LATER + timedelta(days=7))
    assert place(_LATER + timedelta(days=7)) in await places(pool)


async def test_rows_of_a_clock_ahead_get_their_day(pool: asyncpg.Pool[asyncpg.Record]) -> None:
    """Each stray day, however far; the rest of the house is kept as always."""
    await said(pool, _NOW)
    await said(pool, _LATER)
    await said(pool, _MUCH_LATER)
    assert not refused(await kept(pool, _NOW))
    assert await places(pool) == {place(at): 1 for at in (_NOW, _LATER, _MUCH_LATER)}


async def test_a_row_that_is_moved_is_not_published_again(
    pool: asyncpg.Pool[asyncpg.Record],
) -> None:
    """The relay's slot sees each row once, when it was said."""
    await pool.fetch("SELECT pg_create_logical_replication_slot('watched', 'pgoutput')")
    await said(pool, _LATER, 5)
    assert not refused(await kept(pool, _NOW))
    async with pool.acquire() as connection, connection.transaction():
        # The slot is read up to what is flushed.
        await connection.execute("SET LOCAL synchronous_commit = on")
        await connection.execute(_SAID, _LATER, 2)
    assert await places(pool) == {place(_LATER): 7}
    inserts = await pool.fetchval(
        "SELECT count(*) FROM pg_logical_slot_get_binary_changes('watched', NULL, NULL,"
        " 'proto_version', '1', 'publication_names', 'payments_outbox')"
        " WHERE get_byte(data, 0) = ascii('I')"
    )
    assert inserts == 7


async def test_one_refused_step_neither_ends_nor_hides_another(
    pool: asyncpg.Pool[asyncpg.Record], database: DatabaseAddress
) -> None:
    """A reader is in the way of DDL: it is named, keys expire, and when it ends all is done."""
    await said(pool, _LATER)
    await pool.execute(_ASKED, "old", _NOW)
    async with reader(database, pool) as other:
        outcomes = await kept(pool, _LATER + timedelta(days=30))
        pid = other.get_server_pid()
    assert refused(outcomes) == {"make_partitions", "move_stray_rows", "drop_partitions"}
    for step in refused(outcomes):
        assert f"pid {pid} (pg_dump) holds" in str(outcomes[step])
    assert await pool.fetchval("SELECT count(*) FROM idempotency_keys") == 0
    noted = await pool.fetch("SELECT step, refusal FROM housekeeping")
    assert {row["step"]: row["refusal"] for row in noted} == outcomes
    assert not refused(await kept(pool, _LATER + timedelta(days=30)))
    assert await pool.fetchval("SELECT count(refusal) FROM housekeeping") == 0


async def test_one_partition_refused_does_not_keep_the_others(
    pool: asyncpg.Pool[asyncpg.Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A day that grows too fast to be moved waits until it is over; the days after it do not."""
    monkeypatch.setattr(partitions, "_MOVED_MAX", 2)
    await said(pool, _LATER, 3)
    await said(pool, _LATER - timedelta(days=1))
    outcomes = await kept(pool, _LATER)
    assert refused(outcomes) == {"make_partitions", "move_stray_rows"}
    assert "when its time is over" in str(outcomes["make_partitions"])
    await said(pool, _LATER + timedelta(days=1))
    assert await places(pool) == {
        "outbox_default": 3,
        place(_LATER - timedelta(days=1)): 1,
        place(_LATER + timedelta(days=1)): 1,
    }


async def test_a_day_that_is_over_is_moved_whole(
    pool: asyncpg.Pool[asyncpg.Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many rows it has: nobody inserts into it any more."""
    monkeypatch.setattr(partitions, "_MOVED_MAX", 2)
    before = _NOW - timedelta(days=3)
    await said(pool, before, 5)
    assert await places(pool) == {"outbox_default": 5}
    assert not refused(await kept(pool, _NOW))
    assert await places(pool) == {place(before): 5}


async def test_who_writes_does_not_wait_behind_a_reader(
    pool: asyncpg.Pool[asyncpg.Record], database: DatabaseAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DDL that meets a reader it did not see coming gives up long before anybody's patience ends.

    A statement waits behind DDL that waits: these give up after two seconds, which no DDL of ours
    ever waits, and none does.
    """

    async def nobody(*_: object) -> list[partitions.Holder]:
        return []

    monkeypatch.setattr(partitions, "holders", nobody)
    writer = await connect_single(database, application_name="writer")
    await writer.execute("SET lock_timeout = '2s'")
    async with reader(database, pool):
        keeping = asyncio.create_task(kept(pool, _LATER + timedelta(days=30)))
        while not keeping.done():
            await writer.execute(_SAID, _NOW, 1)
    await writer.close()
    outcomes = await keeping
    assert "make_partitions" in refused(outcomes)
    assert "a lock was not to be had" in str(outcomes["drop_partitions"])


async def test_what_was_kept_long_enough_is_dropped(pool: asyncpg.Pool[asyncpg.Record]) -> None:
    """A day of the outbox goes when its last row has been kept for the whole retention."""
    await said(pool, _NOW)
    last = datetime.combine(_NOW.date(), datetime.max.time(), UTC) + timedelta(seconds=_WEEK_S)
    await keep_house(pool, last - timedelta(hours=1), _WEEK_S)
    assert await places(pool) == {place(_NOW): 1}
    await keep_house(pool, last + timedelta(days=1, hours=1), _WEEK_S)
    assert await places(pool) == {}


@pytest.mark.parametrize(
    ("floor", "marks", "is_kept"),
    [
        pytest.param(3, {"payments.events": {}}, False, id="has all"),
        pytest.param(2, {"payments.events": {}}, True, id="lacks the last"),
        pytest.param(2, {"payments.accounts": {}}, False, id="carries other topics"),
        pytest.param(None, {}, True, id="was never seen to have anything"),
    ],
)
async def test_a_day_is_kept_for_a_sink_that_lacks_some_of_it(
    pool: asyncpg.Pool[asyncpg.Record],
    floor: int | None,
    marks: dict[str, object],
    is_kept: bool,  # noqa: FBT001 - a column of the table above
) -> None:
    """However long the sink is away: it is named, and what it lacks is there when it comes back."""
    await said(pool, _NOW, 3)
    await a_sink(pool, "redis", 3, {"payments.events": {}})
    await a_sink(pool, "kafka", floor, marks)
    outcomes = await kept(pool, _MUCH_LATER)
    assert refused(outcomes) == ({"drop_partitions"} if is_kept else set())
    assert await places(pool) == ({place(_NOW): 3} if is_kept else {})
    dropped = await pool.fetchval("SELECT up_to FROM outbox_dropped")
    assert dropped == (0 if is_kept else 3)
    if is_kept:
        assert outcomes["drop_partitions"] == (
            f"{place(_NOW)} has messages that were not seen to be in kafka:"
            " the relay goes on, or is dropped"
        )


async def test_a_day_goes_once_the_sink_has_it_or_is_given_up(
    pool: asyncpg.Pool[asyncpg.Record],
) -> None:
    """The newest checkpoint counts; of a sink that is dropped nothing is known any more."""
    days = _NOW, _NOW + timedelta(days=1)
    for day in days:
        await said(pool, day)
    await a_sink(pool, "kafka", 0, {"payments.events": {}})
    assert refused(await kept(pool, _MUCH_LATER)) == {"drop_partitions"}
    assert await places(pool) == {place(day): 1 for day in days}
    await seen(pool, "kafka", 1, {"payments.events": {}}, _NOW)
    assert refused(await kept(pool, _MUCH_LATER)) == {"drop_partitions"}
    assert await places(pool) == {place(days[1]): 1}
    await pool.execute(*bound("forget_sink", sink="kafka"))
    assert not refused(await kept(pool, _MUCH_LATER))
    assert await places(pool) == {}


async def test_a_topic_that_is_rebuilt_is_still_the_sinks(
    pool: asyncpg.Pool[asyncpg.Record],
) -> None:
    """What its checkpoints said of it is struck, and not that the sink carries it."""
    await said(pool, _NOW)
    marks = {"payments.events": {"0": ["a", [0, 0], [0, 0], [0, 0]]}}
    for topic in ("payments.events", None):
        await a_sink(pool, "kafka", 0, marks)
        await pool.execute(query("strike_topic"), "kafka", topic)
        text = await pool.fetchval("SELECT marks::text FROM relay_checkpoints")
        assert Checkpoint.parse("then", "0", "0/0", "7", text).marks == {}
        assert refused(await kept(pool, _MUCH_LATER)) == {"drop_partitions"}
        await pool.execute(*bound("forget_sink", sink="kafka"))


async def test_what_a_clock_behind_has_dated_is_kept_as_long_as_all_else(
    pool: asyncpg.Pool[asyncpg.Record],
) -> None:
    """Its day stays until what was written beside it goes; nothing is said to be gone before."""
    before = _NOW - timedelta(days=9)
    await said(pool, _NOW)
    await said(pool, before)
    for days in (0, 6):
        assert not refused(await kept(pool, _NOW + timedelta(days=days)))
        assert await places(pool) == {place(before): 1, place(_NOW): 1}
        assert await pool.fetchval("SELECT up_to FROM outbox_dropped") == 0
    assert not refused(await kept(pool, _NOW + timedelta(days=9)))
    assert await places(pool) == {}
    assert await pool.fetchval("SELECT up_to FROM outbox_dropped") == 2


async def test_what_a_clock_ahead_has_dated_holds_up_no_day_for_ever(
    pool: asyncpg.Pool[asyncpg.Record],
) -> None:
    """A day waits until that row is not among what is kept, and what is gone is said to be."""
    await said(pool, _NOW + timedelta(days=3))
    await said(pool, _NOW)
    await said(pool, _LATER)
    assert not refused(await kept(pool, _NOW + timedelta(days=9)))
    assert place(_NOW) in await places(pool)
    assert not refused(await kept(pool, _NOW + timedelta(days=11)))
    assert place(_NOW) not in await places(pool)
    assert await pool.fetchval("SELECT up_to FROM outbox_dropped") == 2


@pytest.mark.parametrize("days", [-400, 400])
async def test_no_clock_that_is_ahead_forgets_alone(
    pool: asyncpg.Pool[asyncpg.Record], days: int
) -> None:
    """What is young by this host's clock, or by the database's, is kept; what is old by both goes.

    The database's is the one that is ahead where all of this host's is of another year.
    """
    now = _NOW + timedelta(days=days)
    dated = min(_NOW, now)
    for key, at in ("young", dated), ("old", dated - timedelta(days=40)):
        await pool.execute(_ASKED, key, at)
    kept = await keep_house_by_both_clocks(pool, now, _WEEK_S)
    assert refused({each.step: each.refusal for each in kept}) == set()
    assert [row["key"] for row in await pool.fetch("SELECT key FROM idempotency_keys")] == ["young"]


async def test_what_was_refused_is_tried_again_soon(
    pool: asyncpg.Pool[asyncpg.Record],
    database: DatabaseAddress,
    committer: GroupCommitter,
    metrics: Metrics,
) -> None:
    """Not in an hour: the reader ends, and the schedule does what it could not."""
    await pool.execute(f"DROP TABLE {place(_NOW + timedelta(days=3))}")
    schedule = Schedule(
        pool, pool, committer, metrics, lambda: _NOW, _WEEK_S, Policy().patience_s, NAMES
    )
    stopping = asyncio.Event()
    async with reader(database, pool):
        running = asyncio.create_task(schedule.run(stopping))
        await eventually(lambda: _counted(metrics, "refused") > 0)
    await eventually(lambda: _counted(metrics, "done") > 0, within=30)
    stopping.set()
    await running


def _counted(metrics: Metrics, outcome: str) -> float:
    labels = {"step": "make_partitions", "outcome": outcome}
    name = "payments_housekeeping_steps_total"
    return metrics.registry.get_sample_value(name, labels) or 0.0


async def test_two_schedules_keep_house_at_once(pool: asyncpg.Pool[asyncpg.Record]) -> None:
    """Who comes second leaves it to the first; what each left to the other is done next time."""
    await said(pool, _LATER, 3)
    both = await asyncio.gather(kept(pool, _LATER), kept(pool, _LATER))
    assert [refused(each) for each in both] == [set(), set()]
    assert refused(await kept(pool, _LATER)) == set()
    assert await places(pool) == {place(_LATER): 3}


_ENDPOINTS: Final = 5
_TRIES: Final = 1_200
# A thousand of each of the three tables.
_AT_ONCE_MAX: Final = 3_000


async def webhook_sent(pool: asyncpg.Pool[asyncpg.Record], at: datetime) -> None:
    """An event of that time, for each endpoint, each of which was tried so often."""
    event_id = await pool.fetchval(
        "INSERT INTO webhook_events (id, tenant_id, type, data, occurred_at, recorded_at)"
        " VALUES (gen_random_uuid(), 'default', 'payment.created', '{}', $1, $1) RETURNING id",
        at,
    )
    await pool.execute(
        "WITH told AS (INSERT INTO webhook_deliveries (id, tenant_id, endpoint_id, event_id,"
        " event_type, state, created_at, updated_at) SELECT gen_random_uuid(), 'default', id, $1,"
        " 'payment.created', 'failed', $2, $2 FROM webhook_endpoints RETURNING id)"
        " INSERT INTO webhook_attempts (delivery_id, number, started_at)"
        " SELECT told.id, number, $2 FROM told, generate_series(1, $3::integer) AS number",
        event_id, at, _TRIES,
    )  # fmt: skip


async def left(pool: asyncpg.Pool[asyncpg.Record]) -> list[int]:
    """How many rows there are of webhooks."""
    tables = ("webhook_events", "webhook_deliveries", "webhook_attempts")
    return [await pool.fetchval(f"SELECT count(*) FROM {table}") for table in tables]  # noqa: S608 - our own


async def test_however_much_hangs_on_a_webhook_it_is_forgotten_by_parts(
    pool: asyncpg.Pool[asyncpg.Record],
) -> None:
    """None of them may take longer than a statement has time for, or it would fail for ever."""
    await pool.execute(
        "INSERT INTO webhook_endpoints (id, tenant_id, url, event_types, api_version, description,"
        " state, key_id, secret_number, changed_by, version, created_at, updated_at)"
        " SELECT gen_random_uuid(), 'default', '', '{}', 'v1', '', 'enabled', '', 1, '', 1, $1, $1"
        " FROM generate_series(1, $2::integer)",
        _NOW, _ENDPOINTS,
    )  # fmt: skip
    for at in (_NOW - timedelta(days=32), _NOW - timedelta(days=31), _NOW):
        await webhook_sent(pool, at)
    await pool.execute(
        "CREATE TABLE parts (id xid8, rows bigint);"
        " CREATE FUNCTION note_part() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " INSERT INTO parts SELECT pg_current_xact_id(), count(*) FROM gone; RETURN NULL; END $$"
    )
    for table in ("webhook_events", "webhook_deliveries", "webhook_attempts"):
        await pool.execute(
            f"CREATE TRIGGER parts AFTER DELETE ON {table} REFERENCING OLD TABLE AS gone"
            " FOR EACH STATEMENT EXECUTE FUNCTION note_part()"
        )
    assert not refused(await kept(pool, _NOW))
    assert await left(pool) == [1, _ENDPOINTS, _ENDPOINTS * _TRIES]
    parts = await pool.fetch("SELECT sum(rows)::integer AS rows FROM parts GROUP BY id")
    gone = [row["rows"] for row in parts]
    assert sum(gone) == 2 * (1 + _ENDPOINTS + _ENDPOINTS * _TRIES)
    assert max(gone) <= _AT_ONCE_MAX
