"""Group committers that know nothing of each other, and a witness of all that was ever left.

Each has connections of its own and takes a few commands at a time, so that many batches meet in
Postgres and nowhere else. The CHECKs that would stop a mistake at the last moment are dropped:
what keeps the books right here is what the committers lock, decide and compare.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from payments.account import Account
from payments.progress import Policy
from store.pool import connect
from store.write.context import live
from store.write.group_commit import GroupCommitter, Limits, Submission
from tests.support.factories import open_account
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    import asyncpg

    from payments.commands import Command
    from payments.decision import Refused, Result
    from payments.money import Money
    from payments.payment import Payment
    from process.addresses import DatabaseAddress
    from telemetry.metrics import Metrics

_FEW: Final = Limits(batch_max=4)
_WITNESS: Final = """
ALTER TABLE accounts DROP CONSTRAINT accounts_never_overdrawn;
ALTER TABLE payments DROP CONSTRAINT payments_refunded_within_captured;
CREATE TABLE seen (remaining bigint);
CREATE FUNCTION see_account() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO seen VALUES (new.credits_posted - new.debits_posted - new.debits_pending);
    RETURN new;
END $$;
CREATE FUNCTION see_payment() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO seen VALUES (
        new.captured_minor - new.refunded_minor - new.refund_pending_minor
    );
    RETURN new;
END $$;
CREATE TRIGGER seen AFTER INSERT OR UPDATE ON accounts
FOR EACH ROW EXECUTE FUNCTION see_account();
CREATE TRIGGER seen AFTER INSERT OR UPDATE ON payments
FOR EACH ROW EXECUTE FUNCTION see_payment();
"""


@dataclass(frozen=True, slots=True)
class Rivals:
    """Several committers over one database, looked at through a pool of the test's own."""

    committers: Sequence[GroupCommitter]
    pool: asyncpg.Pool[asyncpg.Record]
    metrics: Metrics

    async def asked(self, command: Command, turn: int = 0) -> Result | Refused:
        """What one of them answers."""
        committer = self.committers[turn % len(self.committers)]
        return (await committer.submit(Submission(command))).result

    async def raced(
        self, over: Iterable[Account | Payment], commands: Sequence[Command]
    ) -> list[Result | Refused]:
        """What they answer in turn, let go at once when each of them stood before those rows."""
        ids = [each.id for each in over]
        async with self.pool.acquire() as gate, gate.transaction():
            await gate.execute("SELECT FROM payments WHERE id = any($1) FOR UPDATE", ids)
            await gate.execute("SELECT FROM accounts WHERE id = any($1) FOR UPDATE", ids)
            asked = asyncio.gather(
                *(self.asked(command, turn) for turn, command in enumerate(commands))
            )
            await eventually(self._all_are_waiting)
        return await asked

    async def _all_are_waiting(self) -> bool:
        waiting = await self.pool.fetchval(
            "SELECT count(DISTINCT application_name) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name LIKE 'rival-%'"
            " AND wait_event_type = 'Lock'"
        )
        return bool(waiting == len(self.committers))

    async def account(self, balance: Money) -> Account:
        account = await self.asked(open_account(balance))
        assert isinstance(account, Account)
        return account

    async def balance(self, account: Account) -> tuple[int, int]:
        """What is posted and what is held."""
        row = await self.pool.fetchrow(
            "SELECT credits_posted - debits_posted AS balance, debits_pending"
            " FROM accounts WHERE id = $1",
            account.id,
        )
        assert row is not None
        return row["balance"], row["debits_pending"]

    async def assert_fair(self) -> None:
        """None met a deadlock, and at no moment was more gone than there was."""
        assert await self.pool.fetchval("SELECT min(remaining) FROM seen") >= 0
        deadlocks = self.metrics.registry.get_sample_value(
            "payments_group_commit_retries_total", {"reason": "DeadlockDetectedError"}
        )
        assert not deadlocks


@asynccontextmanager
async def racing(
    database: DatabaseAddress, metrics: Metrics, count: int = 4
) -> AsyncIterator[Rivals]:
    """So many committers, at work while the context is open."""
    async with AsyncExitStack() as stack:

        async def opened(name: str) -> asyncpg.Pool[asyncpg.Record]:
            pool = await stack.enter_async_context(
                await connect(database, application_name=name, size=2)
            )
            async with pool.acquire() as one, pool.acquire() as other:
                for each in (one, other):  # on a busy machine all take a while to gather
                    await each.execute("SET lock_timeout = 0")
            return pool

        watcher = await opened("watcher")
        await watcher.execute(_WITNESS)
        committers = [
            await stack.enter_async_context(
                GroupCommitter(await opened(f"rival-{number}"), live(Policy()), metrics, _FEW)
            )
            for number in range(count)
        ]
        yield Rivals(committers, watcher, metrics)
