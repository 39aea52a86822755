"""An operator and the stages at one payment: in one batch, and at one moment."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import asyncpg
import pytest

from payments.account import Account
from payments.commands import ClaimPayment, SettlePayment
from payments.decision import Claimed, RefusalCode, Refused
from payments.outcome import Unresolvable
from payments.payment import Payment, PaymentStatus
from payments.progress import Policy
from payments.resolution import DidNotHappen, Happened, ResolvePayment, Verdict
from store.write.commit import commit
from store.write.context import live
from store.write.group_commit import GroupCommitter, Submission
from tests.support.factories import SOURCE, open_account, pay, usd

if TYPE_CHECKING:
    from telemetry.metrics import Metrics

FOUND = Happened(usd(5_000), "pi_found")


async def _claimed(committer: GroupCommitter) -> SettlePayment:
    """What a worker is about to say of a payment it has asked for: that nobody can tell."""
    account = (await committer.submit(Submission(open_account()))).result
    assert isinstance(account, Account)
    payment = (await committer.submit(Submission(pay(account.id)))).result
    assert isinstance(payment, Payment)
    claim = (await committer.submit(Submission(ClaimPayment(payment.id, 1, "w")))).result
    assert isinstance(claim, Claimed)
    attempt, lost = claim.attempt, Unresolvable("key_window_passed", "nobody can tell")
    return SettlePayment(payment.id, attempt.id, attempt.operation, lost, SOURCE)


def _resolve(settle: SettlePayment, actor: str, verdict: Verdict) -> Submission:
    return Submission(ResolvePayment(settle.payment_id, actor, "seen", verdict))


async def test_a_letter_that_is_closed_in_the_batch_that_parks_it_is_recorded_closed(
    committer: GroupCommitter, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    """Both are said, in their order, and no letter stays open that nobody asks about."""
    settle = await _claimed(committer)
    batch = [Submission(settle), _resolve(settle, "ada", FOUND)]
    async with pool.acquire() as connection, connection.transaction():
        await commit(connection, batch, live(Policy()))
    (letter,) = await pool.fetch("SELECT * FROM dead_letters")
    assert (letter["state"], letter["version"]) == ("discarded", 2)
    assert (letter["resolved_by"], letter["resolution"]) == ("ada", "seen")
    said = await pool.fetch(
        "SELECT type FROM outbox WHERE aggregatetype = 'payments.dlq' ORDER BY recorded_at"
    )
    assert [row["type"] for row in said] == ["dead_letter.parked", "dead_letter.discarded"]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE operator_actions SET actor = 'nobody'",
        "DELETE FROM operator_actions",
        "TRUNCATE operator_actions",
    ],
)
async def test_what_operators_did_is_not_changed(
    pool: asyncpg.Pool[asyncpg.Record], statement: str
) -> None:
    """Not by mistake, in any case."""
    with pytest.raises(asyncpg.RaiseError, match="operator_actions is append-only"):
        await pool.execute(statement)


async def test_two_operators_who_disagree_at_one_moment_are_not_both_right(
    pool: asyncpg.Pool[asyncpg.Record], metrics: Metrics
) -> None:
    """From two processes, over and over: one is recorded, the other told where it stands."""
    async with (
        GroupCommitter(pool, live(Policy()), metrics) as one,
        GroupCommitter(pool, live(Policy()), metrics) as other,
    ):
        for _ in range(10):
            settle = await _claimed(one)
            await one.submit(Submission(settle))
            replies = await asyncio.gather(
                one.submit(_resolve(settle, "ada", FOUND)),
                other.submit(_resolve(settle, "bob", DidNotHappen())),
            )
            (won,) = (each.result for each in replies if isinstance(each.result, Payment))
            (lost,) = (each.result for each in replies if isinstance(each.result, Refused))
            assert lost.code is RefusalCode.PAYMENT_NOT_RESOLVABLE
            actor = await pool.fetchval(
                "SELECT actor FROM operator_actions WHERE payment_id = $1", won.id
            )
            assert actor == ("ada" if won.status is PaymentStatus.COMPLETED else "bob")
