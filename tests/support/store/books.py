"""Ledgers to seal: rows of an hour ago, which nothing at work can add to any more."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from payments.account import Account
from payments.decision import Context
from payments.journal.audit import Audit, Problem
from store.ids import IdSource
from store.read.journal import verify_ledger
from store.write.group_commit import GroupCommitter, Submission
from store.write.seals import seal_settled
from tests.support.factories import TENANT, open_account, transfer, usd

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    import asyncpg

    from payments.journal.seals import Seal
    from telemetry.metrics import Metrics

NO_SKEW: Final = timedelta(0)
_HOUR: Final = timedelta(hours=1)


def late_by(delay: timedelta) -> Callable[[], Context]:
    """What a process hands its committer whose clock is so late."""
    chance = random.Random(1)
    new_id = IdSource(lambda: time.time_ns() - delay // timedelta(microseconds=1) * 1000,
                      chance.getrandbits)  # fmt: skip
    return lambda: Context(datetime.now(UTC) - delay, new_id)


class Books:
    """Writes the ledger as the ingress does, one row a transfer, and seals it."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], metrics: Metrics) -> None:
        self.pool = pool
        self._metrics = metrics

    async def write(self, transfers: int, tenant_id: str = TENANT) -> None:
        """Two accounts with their opening balances, and so many transfers: two rows and more."""
        async with GroupCommitter(self.pool, late_by(_HOUR), self._metrics) as committer:
            payer, payee = [await _opened(committer, tenant_id) for _ in range(2)]
            for number in range(transfers):
                wanted = transfer(payer, payee, usd(number + 1), tenant_id=tenant_id)
                await committer.submit(Submission(wanted))

    async def seal(self) -> list[Seal]:
        return await seal_settled(self.pool, datetime.now(UTC), NO_SKEW)

    async def verify(
        self, *, known: dict[str, Seal] | None = None, tenant_id: str | None = None
    ) -> tuple[Audit, list[Problem]]:
        audit = Audit(known)
        async with (
            self.pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            problems = await verify_ledger(connection, audit, tenant_id)
        return audit, problems

    async def found(self) -> list[str]:
        """What was done."""
        _, problems = await self.verify()
        return [each.tampering.value for each in problems]

    async def forge(self, statements: str) -> None:
        """Run what only somebody can who owns the tables; `fourth` and `sixth` are rows' ids."""
        async with self.pool.acquire() as connection, connection.transaction():
            await connection.execute(_FORGERS_TOOLS)
            await connection.execute(statements)
            await connection.execute("ALTER TABLE ledger_seals ENABLE TRIGGER ALL")


_FORGERS_TOOLS: Final = """
ALTER TABLE ledger_seals DISABLE TRIGGER ALL;
CREATE TEMP TABLE fourth ON COMMIT DROP AS
SELECT id FROM ledger_transfers ORDER BY id OFFSET 3 LIMIT 1;
CREATE TEMP TABLE sixth ON COMMIT DROP AS
SELECT id FROM ledger_transfers ORDER BY id OFFSET 5 LIMIT 1;
"""


async def _opened(committer: GroupCommitter, tenant_id: str) -> UUID:
    reply = await committer.submit(Submission(open_account(tenant_id=tenant_id)))
    assert isinstance(reply.result, Account)
    return reply.result.id
