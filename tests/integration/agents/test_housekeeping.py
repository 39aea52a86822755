"""House-keeping beside the work of its process: it may take its time, and nobody waits for it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import pytest

from payments.commands import ClaimPayment
from process.addresses import RedisAddress
from tests.support.fixtures.processes import Platform
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from process.addresses import DatabaseAddress
    from tests.support.agents.shop import Shop

# More than are moved while anybody waits: a day that is over, moved whole.
_MANY: Final = 5_001
_SAID: Final = """
INSERT INTO outbox
    (id, aggregatetype, aggregateid, type, payload, tenant_id, occurred_at, recorded_at)
SELECT gen_random_uuid(), 'payments.events', 'key', 'payment.created', '{}', 'default', $1, $1
FROM generate_series(1, $2::integer)
"""
_MOVED_WITHOUT_END: Final = """
CREATE FUNCTION rest() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_sleep(3600); RETURN OLD; END $$;
CREATE TRIGGER rest BEFORE DELETE ON outbox_default FOR EACH ROW EXECUTE FUNCTION rest()
"""
_RESTING: Final = """
FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'
"""


@pytest.fixture
def own_platform(database: DatabaseAddress, tmp_path: Path) -> Iterator[Platform]:
    """The test's own database, and nothing else."""
    platform = Platform(
        database=database,
        kafka="",
        redis=RedisAddress("127.0.0.1", 1),
        simulator_url="http://127.0.0.1:1",
        directory=tmp_path,
    )
    yield platform
    platform.end()


@pytest.mark.parametrize("size", ["1", "4"])
async def test_a_day_that_is_moved_keeps_nobody_asleep(
    own_platform: Platform, idle_shop: Shop, size: str
) -> None:
    """However few connections there are: what falls due meanwhile is woken."""
    pool = idle_shop.pool
    await pool.execute(_SAID, datetime.now(UTC) - timedelta(days=3), _MANY)
    await pool.execute(_MOVED_WITHOUT_END)
    payment = await idle_shop.bought(await idle_shop.customer())
    await idle_shop.did(ClaimPayment(payment.id, 1, "silent"))
    schedule = own_platform.schedule(PAYMENTS_DATABASE_POOL_SIZE=size)
    try:
        await schedule.start()

        async def is_moved() -> bool:
            return bool(await pool.fetchval(f"SELECT count(*) = 1 {_RESTING}"))

        await eventually(is_moved)
        await pool.execute("UPDATE payments SET due_at = now() WHERE due_at IS NOT NULL")
        await idle_shop.becomes(payment, "unknown", within=15)
        assert await is_moved()
    finally:
        schedule.end()
        await pool.execute(f"SELECT pg_terminate_backend(pid) {_RESTING}")
