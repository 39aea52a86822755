"""Two hosts whose clocks differ, over one account: what is read of it has one order."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from payments.account import Account
from payments.progress import Policy
from store.read.ledger import Direction, balance_at, statement
from store.write.context import live
from store.write.group_commit import GroupCommitter, Submission
from tests.support.factories import TENANT, open_account, transfer, usd

if TYPE_CHECKING:
    from collections.abc import Callable

    import asyncpg

    from payments.commands import Command
    from payments.decision import Context
    from telemetry.metrics import Metrics

_AGO_S = 10
_APART_S = 2


def host(seconds_ago: float) -> Callable[[], Context]:
    """What a host whose clock is behind ours makes decisions with."""
    return live(Policy(), clock_ns=lambda: time.time_ns() - int(seconds_ago * 1e9))


async def account(committer: GroupCommitter, command: Command) -> Account:
    opened = (await committer.submit(Submission(command))).result
    assert isinstance(opened, Account)
    return opened


async def test_an_account_that_two_hosts_use_was_never_below_zero(
    pool: asyncpg.Pool[asyncpg.Record], metrics: Metrics
) -> None:
    """What came in at the host ahead went out at the other, in that order, at any instant."""
    async with (
        GroupCommitter(pool, host(_AGO_S), metrics) as behind,
        GroupCommitter(pool, host(_AGO_S - _APART_S), metrics) as ahead,
    ):
        poor = await account(behind, open_account(usd(0)))
        rich = await account(behind, open_account(usd(100)))
        await ahead.submit(Submission(transfer(rich.id, poor.id, usd(100))))
        await behind.submit(Submission(transfer(poor.id, rich.id, usd(100))))
    async with pool.acquire() as connection:
        page = await statement(connection, TENANT, poor.id, before=None, limit=10)
        newest = [(each.direction, each.balance_after_minor) for each in page.items]
        assert newest == [(Direction.DEBIT, 0), (Direction.CREDIT, 100)]
        now = datetime.now(UTC)
        for tenths in range((_AGO_S + 1) * 10):
            at = now - timedelta(seconds=tenths / 10)
            for each in (poor, rich):
                balance = await balance_at(connection, TENANT, each.id, at)
                assert balance is None or balance.posted_minor >= 0
