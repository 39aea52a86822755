"""A dead letter is parked and published once, however often the same is decided."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import orjson

from payments.account import Account
from payments.commands import (
    ClaimPayment,
    Command,
    DiscardDeadLetter,
    ParkMessage,
    RedriveDeadLetter,
    SettlePayment,
)
from payments.dead_letter import DeadLetter, DeadLetterReason, DeadLetterState, SourceMessage
from payments.decision import Claimed, RefusalCode, Refused
from payments.ids import dead_letter_id
from payments.outcome import Declined, Succeeded
from payments.payment import Payment
from payments.progress import Policy
from payments.record import replace
from store.write.commit import commit
from store.write.context import live
from store.write.group_commit import GroupCommitter, Submission
from tests.support.factories import SOURCE, TENANT, open_account, pay
from tests.support.waiting import eventually

if TYPE_CHECKING:
    import asyncpg

    from payments.decision import Result
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


async def test_a_claim_that_waited_for_a_letter_to_be_parked_sees_it(
    committer: GroupCommitter, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    """Two workers after a rebalance: the one that stood before the payment's lock is not late."""
    payment = await _accepted(committer)
    park = _poison_of(payment, 1)
    async with pool.acquire() as connection:
        async with connection.transaction():
            await commit(connection, [Submission(park)], live(Policy()))
            claiming = asyncio.create_task(result(committer, ClaimPayment(payment.id, 1, "w")))
            await eventually(lambda: _is_kept_waiting(pool))
        outcome = await claiming
    assert isinstance(outcome, Refused)
    assert outcome.code is RefusalCode.BEHIND_DEAD_LETTER


async def test_a_queue_that_two_operators_move_at_once_moves_once(
    pool: asyncpg.Pool[asyncpg.Record], metrics: Metrics
) -> None:
    """Redriven and discarded at the same moment, over and over: one wins, nothing is sent twice."""
    async with (
        GroupCommitter(pool, live(Policy()), metrics) as one,
        GroupCommitter(pool, live(Policy()), metrics) as other,
    ):
        for _ in range(10):
            payment = await _accepted(one)
            first, *behind = [_poison_of(payment, each) for each in range(3)]
            await result(one, first)
            for each in behind:
                await result(one, replace(each, reason=DeadLetterReason.WAITS_BEHIND))
            outcomes = await asyncio.gather(
                result(one, RedriveDeadLetter(first.letter_id, "ada", "mended")),
                result(other, DiscardDeadLetter(first.letter_id, "bob", "noise")),
            )
            (won,) = (each for each in outcomes if isinstance(each, DeadLetter))
            was_sent = won.state is DeadLetterState.REDRIVEN
            offsets = [0, 1, 2] if was_sent else [1, 2]
            assert await _sent(pool, payment) == offsets
            assert not await pool.fetchval(
                "SELECT charge_blocked_by FROM payments WHERE id = $1", payment.id
            )


async def _accepted(committer: GroupCommitter) -> Payment:
    account = await result(committer, open_account())
    assert isinstance(account, Account)
    payment = await result(committer, pay(account.id))
    assert isinstance(payment, Payment)
    return payment


def _poison_of(payment: Payment, offset: int) -> ParkMessage:
    """A message of the payment's that no stage knows; its value says where it stood."""
    value = orjson.dumps({"of": str(payment.id), "stood": offset})
    source = SourceMessage("payments.charges", 0, offset, b"key", value)
    letter_id = dead_letter_id("charge", f"{payment.id}/{offset}")
    reason = DeadLetterReason.UNKNOWN_TYPE
    return ParkMessage(letter_id, TENANT, "charge", reason, "strange", source, payment.id)


async def _sent(pool: asyncpg.Pool[asyncpg.Record], payment: Payment) -> list[int]:
    """Where the messages that were sent again had stood, in the order in which they were sent."""
    rows = await pool.fetch(
        "SELECT (payload ->> 'stood')::int AS stood FROM outbox"
        " WHERE payload ->> 'of' = $1 ORDER BY id",
        str(payment.id),
    )
    return [row["stood"] for row in rows]


async def _is_kept_waiting(pool: asyncpg.Pool[asyncpg.Record]) -> bool:
    return bool(
        await pool.fetchval(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
    )


async def _said(pool: asyncpg.Pool[asyncpg.Record]) -> object:
    return await pool.fetchval("SELECT count(*) FROM outbox WHERE aggregatetype = 'payments.dlq'")
