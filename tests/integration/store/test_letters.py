"""A dead letter is parked and published once, however often the same is decided."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from payments.account import Account
from payments.commands import ClaimPayment, Command, ParkMessage, SettlePayment
from payments.dead_letter import DeadLetterReason, SourceMessage
from payments.decision import Claimed
from payments.ids import dead_letter_id
from payments.outcome import Declined, Succeeded
from payments.payment import Payment
from payments.progress import Policy
from store.circumstances import live
from store.group_commit import GroupCommitter, Submission
from tests.factories import SOURCE, TENANT, open_account, pay

if TYPE_CHECKING:
    import asyncpg

    from payments.decision import Refused, Result
    from telemetry.metrics import Metrics

POISON = SourceMessage("payments.charges", 3, 17, b"key", b"\x00")


async def result(committer: GroupCommitter, command: Command) -> Result | Refused:
    return (await committer.submit(Submission(command))).result


async def test_a_message_two_workers_park_at_once_is_one_letter(
    pool: asyncpg.Pool[asyncpg.Record], metrics: Metrics
) -> None:
    """After a rebalance both old and new owner may: one row, one message on the topic."""
    reason = DeadLetterReason.UNDECODABLE
    async with (
        GroupCommitter(pool, live(Policy()), metrics) as one,
        GroupCommitter(pool, live(Policy()), metrics) as other,
    ):
        for number in range(20):
            letter_id = dead_letter_id("charge", str(number))
            park = ParkMessage(letter_id, TENANT, "charge", reason, "no JSON", POISON)
            await asyncio.gather(*(result(each, park) for each in (one, other, one, other)))
    assert await pool.fetchval("SELECT count(*) FROM dead_letters") == 20
    assert await _said(pool) == 20


async def test_a_contradiction_brought_twice_is_one_letter(
    committer: GroupCommitter, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    """A worker that is not told of its commit settles again; its letter is not said again."""
    account = await result(committer, open_account())
    assert isinstance(account, Account)
    payment = await result(committer, pay(account.id))
    assert isinstance(payment, Payment)
    claimed = await result(committer, ClaimPayment(payment.id, 1, "w"))
    assert isinstance(claimed, Claimed)
    attempt = claimed.attempt
    declined, late = Declined("no", "no"), Succeeded("pi_late")
    for outcome in (declined, late, late):
        settle = SettlePayment(payment.id, attempt.id, attempt.operation, outcome, SOURCE)
        await result(committer, settle)
    again = [SettlePayment(payment.id, attempt.id, attempt.operation, late, SOURCE)] * 3
    await asyncio.gather(*(result(committer, each) for each in again))
    assert await pool.fetchval("SELECT count(*) FROM dead_letters") == 1
    assert await _said(pool) == 1


async def _said(pool: asyncpg.Pool[asyncpg.Record]) -> object:
    return await pool.fetchval("SELECT count(*) FROM outbox WHERE aggregatetype = 'payments.dlq'")
