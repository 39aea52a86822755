"""What a stage has to record is recorded, however the store is just then."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from agents.durably import submit_durably
from payments.account import Account
from payments.commands import ClaimPayment
from payments.decision import Claimed
from payments.progress import Policy
from store.write.context import live
from store.write.group_commit import GroupCommitter, Limits, Submission
from tests.support.factories import open_account
from tests.support.waiting import eventually

if TYPE_CHECKING:
    import asyncpg

    from telemetry.metrics import Metrics
    from tests.support.agents.shop import Shop


async def test_a_session_that_postgres_ends_is_not_the_end_of_its_command(idle_shop: Shop) -> None:
    """As in a failover: the claim that was under way is made on the next connection."""
    payment = await idle_shop.bought(await idle_shop.customer())
    async with idle_shop.locked(payment):
        submission = Submission(ClaimPayment(payment.id, 1, "worker"))
        claim = asyncio.create_task(submit_durably(idle_shop.committer, submission))
        await eventually(lambda: claim.done() or idle_shop.is_kept_waiting("tests"))
        await idle_shop.pool.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
    assert isinstance(await claim, Claimed)
    assert await idle_shop.attempts(payment) == [(1, False, None)]


async def test_a_full_queue_is_waited_for(
    pool: asyncpg.Pool[asyncpg.Record], metrics: Metrics
) -> None:
    """More commands at once than there is room for: all are recorded."""
    limits = Limits(queue_max=2, in_flight=1)
    async with GroupCommitter(pool, live(Policy()), metrics, limits) as committer:
        outcomes = await asyncio.gather(
            *(submit_durably(committer, Submission(open_account())) for _ in range(10))
        )
    assert all(isinstance(each, Account) for each in outcomes)
