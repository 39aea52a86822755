"""One attempt a number, on a real Postgres, however many ask: each guard for itself."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, cast
from uuid import uuid4

import asyncpg
import pytest

from agents.durably import submit_durably
from payments.commands import (
    ClaimPayment,
    ClaimRefund,
    ParkMessage,
    RedriveDeadLetter,
    RefundPayment,
    SettlePayment,
    WakePayment,
)
from payments.dead_letter import DeadLetterReason
from payments.decision import Claimed, Decision, RefusalCode, Refused
from payments.decisions.decide import decide
from payments.outcome import Operation, Retriable
from payments.progress import Policy
from payments.refund import Refund
from process.addresses import DatabaseAddress
from store.faults import Fault, VersionConflictError, fault_of
from store.pool import connect
from store.queries import query
from store.read.id_ranges import LAST_ID
from store.write.batch import load
from store.write.context import live
from store.write.group_commit import GroupCommitter, Reply, StoreUnavailable, Submission
from store.write.record import Recorded, record
from tests.support.factories import SOURCE, TENANT, pay
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    from payments.commands import Command
    from payments.payment import Payment
    from telemetry.metrics import Metrics
    from tests.support.agents.shop import Shop

_BUSY: Final = Retriable("rate_limited", "too many requests")


async def test_of_many_workers_one_has_the_attempt(
    idle_shop: Shop, database: DatabaseAddress, metrics: Metrics
) -> None:
    """Two processes and ten deliveries of one message: one claim, the others are refused."""
    payment = await idle_shop.bought(await idle_shop.customer())
    async with (
        await connect(database, application_name="another", size=2) as pool,
        GroupCommitter(pool, live(Policy()), metrics) as another,
    ):
        claim = Submission(ClaimPayment(payment.id, 1, "worker"))
        either = (idle_shop.committer, another)
        replies = await asyncio.gather(*(either[turn % 2].submit(claim) for turn in range(10)))
    assert sum(isinstance(reply.result, Claimed) for reply in replies) == 1
    assert await idle_shop.attempts(payment) == [(1, False, None)]


class Unheard(GroupCommitter):
    """Whose first answer is lost on its way, after the commit."""

    is_lost = False

    async def submit(self, submission: Submission, patience_s: float | None = None) -> Reply:
        """As it was done, from the second time on."""
        reply = await super().submit(submission, patience_s)
        if not self.is_lost:
            self.is_lost = True
            raise StoreUnavailable("the connection went with the COMMIT's answer")
        return reply


async def test_a_claim_whose_commit_nobody_heard_of_has_its_attempt(
    idle_shop: Shop, metrics: Metrics
) -> None:
    """It is not taken for another's, whose lease would have to run out first."""
    payment = await idle_shop.bought(await idle_shop.customer())
    claim = Submission(ClaimPayment(payment.id, 1, "worker", uuid4()))
    async with Unheard(idle_shop.pool, live(Policy()), metrics) as committer:
        assert isinstance(await submit_durably(committer, claim), Claimed)
        assert committer.is_lost
    assert await idle_shop.attempts(payment) == [(1, False, None)]


@dataclass(frozen=True, slots=True)
class Early:
    """A connection whose first look, at what a statement names, was a moment too early."""

    connection: PoolConnectionProxy
    name: str

    async def fetch(self, text: str, *arguments: object) -> list[asyncpg.Record]:
        """Nothing was to be seen then, and is now."""
        rows = await self.connection.fetch(text, *arguments)
        return [] if text == query(self.name) else rows


async def refused_early(shop: Shop, command: Command, statement: str) -> RefusalCode:
    """Why the command is refused in a batch whose statement came a moment too early."""
    async with shop.pool.acquire() as connection, connection.transaction():
        early = cast("PoolConnectionProxy", Early(connection, statement))
        working = await load(early, [command])
    refused = decide(command, working.state(), live(Policy())())
    assert isinstance(refused, Refused)
    return refused.code


async def test_a_refund_that_comes_to_be_seen_in_the_middle_of_a_batch_is_not_there_yet(
    idle_shop: Shop,
) -> None:
    """Its message may be faster than its commit: its payment was not locked with it."""
    refund = await idle_shop.did(RefundPayment(TENANT, (await idle_shop.charged()).id, None))
    assert isinstance(refund, Refund)
    claim = ClaimRefund(refund.id, 1, "worker")
    code = await refused_early(idle_shop, claim, "payments_of_refunds")
    assert code is RefusalCode.REFUND_NOT_FOUND
    assert isinstance(await idle_shop.did(claim), Claimed)


async def test_a_letter_that_comes_to_be_seen_in_the_middle_of_a_batch_is_not_there_yet(
    idle_shop: Shop,
) -> None:
    """The same of whoever redrives what he has read of on the topic."""
    payment = await idle_shop.bought(await idle_shop.customer())
    parked = ParkMessage(
        *(uuid4(), TENANT, "charge", DeadLetterReason.HANDLER_ERROR, "a bug", SOURCE, payment.id)
    )
    await idle_shop.did(parked)
    redrive = RedriveDeadLetter(parked.letter_id, "ann", "a try")
    code = await refused_early(idle_shop, redrive, "subjects_of_dead_letters")
    assert code is RefusalCode.DEAD_LETTER_NOT_FOUND
    assert not isinstance(await idle_shop.did(redrive), Refused)


async def test_a_message_of_an_earlier_attempt_starts_no_later_one(idle_shop: Shop) -> None:
    """A retry waits for its time: the old message, delivered again, does not hurry it."""
    payment = await idle_shop.bought(await idle_shop.customer())
    first = await claimed(idle_shop, payment, 1)
    settled = SettlePayment(payment.id, first.attempt.id, Operation.CHARGE, _BUSY, SOURCE)
    await idle_shop.did(settled)
    assert isinstance(await idle_shop.did(ClaimPayment(payment.id, 1, "worker")), Refused)
    assert isinstance(await idle_shop.did(ClaimPayment(payment.id, 3, "worker")), Refused)
    await claimed(idle_shop, payment, 2)


async def test_while_a_lease_runs_nobody_else_gets_the_payment(idle_shop: Shop) -> None:
    """Neither by the next number nor by being woken: only its end lets others in."""
    payment = await idle_shop.bought(await idle_shop.customer())
    await claimed(idle_shop, payment, 1)
    assert isinstance(await idle_shop.did(WakePayment(payment.id)), Refused)
    assert isinstance(await idle_shop.did(ClaimPayment(payment.id, 2, "worker")), Refused)
    await idle_shop.pool.execute("UPDATE payments SET due_at = now() WHERE id = $1", payment.id)
    assert not isinstance(await idle_shop.did(WakePayment(payment.id)), Refused)
    await claimed(idle_shop, payment, 2)


async def test_a_claim_waits_for_whoever_is_changing_its_payment(idle_shop: Shop) -> None:
    """Its message may come before the commit that sent it: on the old row it would be refused."""
    payment = await idle_shop.bought(await idle_shop.customer())
    await claimed(idle_shop, payment, 1)
    await idle_shop.pool.execute("UPDATE payments SET due_at = now() WHERE id = $1", payment.id)
    (woken,) = await decided(idle_shop, WakePayment(payment.id), 1)
    async with idle_shop.pool.acquire() as connection, connection.transaction():
        await record(connection, [_made(woken)])
        claim = asyncio.create_task(idle_shop.did(ClaimPayment(payment.id, 2, "worker")))
        await eventually(lambda: claim.done() or idle_shop.is_kept_waiting("tests"))
        assert not claim.done()
    assert isinstance(await claim, Claimed)


async def test_a_decision_made_on_what_is_no_longer_true_is_not_recorded(idle_shop: Shop) -> None:
    """Decided twice on one reading, as if nothing were locked: the second finds another version."""
    customer = await idle_shop.customer()
    first, second = await decided(idle_shop, pay(customer.id), 2)
    async with idle_shop.pool.acquire() as connection:
        async with connection.transaction():
            await record(connection, [_made(first)])
        with pytest.raises(VersionConflictError):
            async with connection.transaction():
                await record(connection, [_made(second)])
    assert await idle_shop.pool.fetchval("SELECT count(*) FROM payments") == 1


async def test_of_two_claims_decided_on_one_reading_one_is_recorded(idle_shop: Shop) -> None:
    """Its version, its number and its event's number are each taken; whichever says so first."""
    payment = await idle_shop.bought(await idle_shop.customer())
    first, second = await decided(idle_shop, ClaimPayment(payment.id, 1, "worker"), 2)
    async with idle_shop.pool.acquire() as connection:
        async with connection.transaction():
            await record(connection, [_made(first)])
        with pytest.raises((VersionConflictError, asyncpg.UniqueViolationError)) as refused:
            async with connection.transaction():
                await record(connection, [_made(second)])
    assert fault_of(refused.value) is Fault.RACE
    assert await idle_shop.attempts(payment) == [(1, False, None)]


async def test_an_attempt_begun_and_finished_in_one_batch_is_finished(idle_shop: Shop) -> None:
    """No statement sees what it inserts itself."""
    payment = await idle_shop.bought(await idle_shop.customer())
    claim, context = ClaimPayment(payment.id, 1, "worker"), live(Policy())
    async with idle_shop.pool.acquire() as connection, connection.transaction():
        state = (await load(connection, [claim])).state()
        begun = decide(claim, state, context())
        assert isinstance(begun, Decision)
        (attempt,) = begun.attempts
        settle = SettlePayment(payment.id, attempt.id, Operation.CHARGE, _BUSY, SOURCE)
        finished = decide(settle, state.after(begun), context())
        assert isinstance(finished, Decision)
        await record(connection, [_made(begun), _made(finished)])
    ((number, _, outcome),) = await idle_shop.attempts(payment)
    assert (number, outcome) == (1, "retriable")


async def test_the_table_takes_an_attempt_s_number_once(idle_shop: Shop) -> None:
    """The last guard: whatever the code believes, Postgres has one attempt a number.

    In each partition: of the first, and of one that was made like all others.
    """
    payment = await idle_shop.bought(await idle_shop.customer())
    await claimed(idle_shop, payment, 1)
    await idle_shop.pool.execute(_COPY, payment.id, LAST_ID)
    for copied in (payment.id, LAST_ID):
        with pytest.raises(asyncpg.UniqueViolationError):
            await idle_shop.pool.execute(_COPY, copied, copied)


_COPY = """
INSERT INTO attempts
SELECT (jsonb_populate_record(
    attempts, jsonb_build_object('id', gen_random_uuid(), 'payment_id', $2::uuid)
)).*
FROM attempts WHERE payment_id = $1
"""


async def claimed(shop: Shop, payment: Payment, attempt: int) -> Claimed:
    claim = await shop.did(ClaimPayment(payment.id, attempt, "worker"))
    assert isinstance(claim, Claimed), claim
    return claim


async def decided(shop: Shop, command: Command, times: int) -> list[Decision]:
    """The command decided so often on one reading, recorded never."""
    context = live(Policy())
    async with shop.pool.acquire() as connection, connection.transaction():
        state = (await load(connection, [command])).state()
    decisions = [decide(command, state, context()) for _ in range(times)]
    return [each for each in decisions if isinstance(each, Decision)]


def _made(decision: Decision) -> Recorded:
    return Recorded(decision, None, datetime.now(UTC))
