"""A primary that takes no writes for a while: the stage waits for it, and parks nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.waiting import eventually

if TYPE_CHECKING:
    from tests.support.agents.shop import Shop
    from tests.support.fixtures.processes import OurProcess, Platform

_LONG_S = 60.0


async def test_what_cannot_be_written_now_is_written_later(
    shop: Shop, worker: OurProcess, platform: Platform
) -> None:
    """The same worker claims and charges it all as soon as it may; there is no dead letter."""
    customer = await shop.customer()
    letters = await shop.pool.fetchval("SELECT count(*) FROM dead_letters")
    name = platform.database.database
    before = await worker.metric("payments_group_commit_retries_total", reason="unavailable")
    # New sessions are those of a primary that was demoted; the shop has its own for long.
    await shop.pool.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    try:
        await shop.pool.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database()"
            " AND application_name LIKE 'payments-agents-charge%'"
        )
        payments = await shop.bought_many(customer, 20)

        async def is_told() -> bool:
            told = await worker.metric("payments_group_commit_retries_total", reason="unavailable")
            return told >= before + 5

        await eventually(is_told, _LONG_S)
        assert {await shop.status(each) for each in payments} == {"pending"}
    finally:
        await shop.pool.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    await shop.settles(payments, within=_LONG_S)
    assert {await shop.status(each) for each in payments} == {"completed"}
    assert await shop.pool.fetchval("SELECT count(*) FROM dead_letters") == letters
    assert worker.is_running
    await shop.assert_right(customer)
