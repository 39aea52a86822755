"""The group committer on a real Postgres: outcomes, isolation of failures, keys, drain."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import asyncpg
import pytest

from payments.account import Account
from payments.decision import RefusalCode, Refused, Result
from payments.payment import Payment, PaymentStatus
from payments.progress import Policy
from payments.record import replace
from store.write.context import live
from store.write.group_commit import (
    Answer,
    GroupCommitter,
    Idempotency,
    KeyReused,
    Limits,
    Overloaded,
    Submission,
)
from tests.support.factories import TENANT, open_account, pay, transfer, usd
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from payments.commands import Command
    from payments.money import Money
    from telemetry.metrics import Metrics


async def submitted(committer: GroupCommitter, command: Command) -> Result | Refused:
    return (await committer.submit(Submission(command))).result


async def opened(committer: GroupCommitter, balance: Money | None = None) -> Account:
    account = await submitted(committer, open_account(balance))
    assert isinstance(account, Account)
    return account


async def is_blocked(pool: asyncpg.Pool[asyncpg.Record]) -> bool:
    """Whether a session of this database waits for a lock."""
    return bool(
        await pool.fetchval(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0"
        )
    )


async def test_an_accepted_payment_is_recorded_with_its_hold_and_its_messages(
    committer: GroupCommitter, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    """One commit holds the payment, the hold, the event and both outbox rows."""
    account = await opened(committer)
    payment = await submitted(committer, pay(account.id))
    assert isinstance(payment, Payment)
    row = await pool.fetchrow("SELECT * FROM accounts WHERE id = $1", account.id)
    assert row is not None
    assert (row["debits_pending"], row["version"]) == (5_000, 2)
    outbox = await pool.fetch(
        "SELECT aggregatetype, type, sequence FROM outbox WHERE aggregateid = $1 ORDER BY id",
        str(payment.id),
    )
    assert [tuple(each) for each in outbox] == [
        ("payments.events", "payment.created", 1),
        ("payments.charges", "charge.requested", None),
    ]
    events = await pool.fetch("SELECT * FROM payment_events WHERE payment_id = $1", payment.id)
    assert [(each["version"], each["type"]) for each in events] == [(1, "payment.created")]


async def test_a_balance_is_never_promised_twice(committer: GroupCommitter) -> None:
    """Of twenty payments of 10 on a balance of 100, ten are accepted."""
    account = await opened(committer, usd(10_000))
    outcomes = await asyncio.gather(
        *(submitted(committer, pay(account.id, usd(1_000))) for _ in range(20))
    )
    refused = [each for each in outcomes if isinstance(each, Refused)]
    assert {each.code for each in refused} == {RefusalCode.INSUFFICIENT_FUNDS}
    assert len(refused) == 10


async def test_one_key_makes_one_payment_and_equal_answers(
    committer: GroupCommitter, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    """Thirty concurrent submissions with one key converge, across two committers."""
    account = await opened(committer)

    def submission() -> Submission:
        key = Idempotency(TENANT, "key-1", b"same")
        return Submission(pay(account.id), idempotency=key, render=rendered)

    replies = await asyncio.gather(*(committer.submit(submission()) for _ in range(30)))
    assert len({each.answer.body for each in replies if each.answer}) == 1
    assert sum(not each.replayed for each in replies) == 1
    assert await pool.fetchval("SELECT count(*) FROM payments") == 1


async def test_one_key_races_between_processes(
    pool: asyncpg.Pool[asyncpg.Record], metrics: Metrics
) -> None:
    """Committers that do not know of each other still make one payment of one key."""
    async with (
        GroupCommitter(pool, live(Policy()), metrics) as one,
        GroupCommitter(pool, live(Policy()), metrics) as other,
    ):
        account = await opened(one)
        for number in range(20):
            key = Idempotency(TENANT, f"key-{number}", b"same")
            replies = await asyncio.gather(
                *(
                    each.submit(
                        Submission(pay(account.id, usd(1)), idempotency=key, render=rendered)
                    )
                    for each in (one, other)
                )
            )
            assert len({each.answer.body for each in replies if each.answer}) == 1
    assert await pool.fetchval("SELECT count(*) FROM payments") == 20


async def test_a_key_with_another_request_is_refused(committer: GroupCommitter) -> None:
    """The same key with another fingerprint gives KeyReused and does nothing."""
    account = await opened(committer)
    for fingerprint in (b"one", b"two"):
        key = Idempotency(TENANT, "key", fingerprint)
        asked = committer.submit(Submission(pay(account.id), idempotency=key, render=rendered))
        if fingerprint == b"one":
            await asked
        else:
            with pytest.raises(KeyReused):
                await asked


async def test_a_refusal_is_stored_under_its_key(committer: GroupCommitter) -> None:
    """Money that arrives later does not change an answer already given."""
    poor, rich = await opened(committer, usd(0)), await opened(committer)
    key = Idempotency(TENANT, "key", b"one")
    first = await committer.submit(Submission(pay(poor.id), idempotency=key, render=rendered))
    await submitted(committer, transfer(rich.id, poor.id))
    again = await committer.submit(Submission(pay(poor.id), idempotency=key, render=rendered))
    assert again.replayed
    assert first.answer == again.answer


async def test_a_command_that_cannot_be_recorded_fails_alone(
    committer: GroupCommitter, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    """A NUL that slipped through, which Postgres refuses, costs its neighbours nothing."""
    commands = [open_account(user_id=f"user{each}" if each != 3 else "\0") for each in range(6)]
    outcomes = await asyncio.gather(
        *(submitted(committer, each) for each in commands), return_exceptions=True
    )
    assert [type(each).__name__ for each in outcomes].count("Account") == 5
    assert await pool.fetchval("SELECT count(*) FROM accounts") == 5


async def test_nobody_is_answered_before_the_commit(
    committer: GroupCommitter, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    """What Postgres takes from every statement and refuses at the COMMIT was not accepted."""
    await pool.execute(
        """
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            RAISE 'not at the last moment either';
        END $$;
        CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON accounts
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse();
        """
    )
    with pytest.raises(asyncpg.RaiseError):
        await submitted(committer, open_account())
    assert await pool.fetchval("SELECT count(*) FROM accounts") == 0


async def test_a_batch_that_waits_for_a_lock_holds_up_nobody_else(
    committer: GroupCommitter, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    """Those who need other rows are answered while it still waits."""
    held, free = await opened(committer), await opened(committer)
    async with pool.acquire() as holder, holder.transaction():
        await holder.execute("SELECT FROM accounts WHERE id = $1 FOR UPDATE", held.id)
        waiting = asyncio.create_task(submitted(committer, pay(held.id)))
        await eventually(lambda: is_blocked(pool))
        assert isinstance(await submitted(committer, pay(free.id)), Payment)
        assert not waiting.done()
    assert isinstance(await waiting, Payment)


async def test_what_needs_a_row_of_a_batch_that_waits_keeps_no_other_waiting(
    committer: GroupCommitter, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    """It stays in the queue, and what comes with it and after it goes on."""
    held, free = await opened(committer), await opened(committer)
    async with pool.acquire() as holder, holder.transaction():
        await holder.execute("SELECT FROM accounts WHERE id = $1 FOR UPDATE", held.id)
        waiting = [asyncio.ensure_future(submitted(committer, pay(held.id)))]
        await eventually(lambda: is_blocked(pool))
        for _ in range(2):
            waiting += [asyncio.ensure_future(submitted(committer, pay(held.id))) for _ in range(3)]
            assert isinstance(await submitted(committer, pay(free.id)), Payment)
        assert await is_blocked(pool)
        assert not any(each.done() for each in waiting)
    assert all(isinstance(each, Payment) for each in await asyncio.gather(*waiting))


async def test_nobody_overtakes_who_was_there_before_for_the_same_row(
    committer: GroupCommitter, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    """Though the first one waits for another row, too, which a batch on its way has."""
    held, free = await opened(committer), await opened(committer)
    async with pool.acquire() as holder, holder.transaction():
        await holder.execute("SELECT FROM accounts WHERE id = $1 FOR UPDATE", held.id)
        waiting = [asyncio.ensure_future(submitted(committer, pay(held.id)))]
        await eventually(lambda: is_blocked(pool))
        all_of_it = transfer(held.id, free.id, usd(100_000 - 5_000))
        waiting.append(asyncio.ensure_future(submitted(committer, all_of_it)))
        # More than it has before.
        waiting.append(asyncio.ensure_future(submitted(committer, pay(free.id, usd(150_000)))))
    assert all(isinstance(each, Payment) for each in await asyncio.gather(*waiting))


async def test_who_comes_beside_a_crowd_waits_for_none_of_its_batches(
    pool: asyncpg.Pool[asyncpg.Record], metrics: Metrics
) -> None:
    """Neither for the one that is on its way, nor until the next one of all would begin."""
    limits = Limits(slow_s=3600.0)
    async with GroupCommitter(pool, live(Policy()), metrics, limits) as committer:
        held = await opened(committer)
        async with pool.acquire() as holder, holder.transaction():
            await holder.execute("SELECT FROM accounts WHERE id = $1 FOR UPDATE", held.id)
            crowd = [asyncio.ensure_future(submitted(committer, pay(held.id))) for _ in range(10)]
            await eventually(lambda: is_blocked(pool))
            for _ in range(2):
                quiet = open_account(tenant_id="quiet")
                assert isinstance(await submitted(committer, quiet), Account)
            assert await is_blocked(pool)
            assert not any(each.done() for each in crowd)
        assert all(isinstance(each, Payment) for each in await asyncio.gather(*crowd))


async def test_who_waits_for_a_row_beside_a_crowd_keeps_not_even_the_crowd_waiting(
    committer: GroupCommitter, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    """What goes beside is looked at first, and if nothing of it is free the rest goes on."""
    held = await submitted(committer, open_account(tenant_id="quiet"))
    busy, free = await opened(committer), await opened(committer)
    assert isinstance(held, Account)
    of_quiet = pay(held.id, tenant_id="quiet")
    async with pool.acquire() as holder, holder.transaction():
        await holder.execute("SELECT FROM accounts WHERE id = $1 FOR UPDATE", held.id)
        first = [of_quiet, *(pay(busy.id, usd(1)) for _ in range(9))]
        waiting = [asyncio.ensure_future(submitted(committer, each)) for each in first]
        await eventually(lambda: is_blocked(pool))
        waiting.append(asyncio.ensure_future(submitted(committer, of_quiet)))
        assert isinstance(await submitted(committer, pay(free.id)), Payment)
        assert await is_blocked(pool)
    assert all(isinstance(each, Payment) for each in await asyncio.gather(*waiting))


async def test_a_full_queue_says_when_to_come_back(
    pool: asyncpg.Pool[asyncpg.Record], metrics: Metrics
) -> None:
    """Past the limit a submission is refused at once, with a time."""
    limits = Limits(queue_max=2, in_flight=1)
    async with GroupCommitter(pool, live(Policy()), metrics, limits) as committer:
        outcomes = await asyncio.gather(
            *(submitted(committer, open_account()) for _ in range(10)), return_exceptions=True
        )
    assert any(isinstance(each, Overloaded) and each.retry_after_s >= 0 for each in outcomes)
    assert any(isinstance(each, Account) for each in outcomes)


async def test_a_key_that_was_taken_meanwhile_has_its_batch_run_once_more(
    committer: GroupCommitter, pool: asyncpg.Pool[asyncpg.Record], metrics: Metrics
) -> None:
    """As a whole, in which it is replayed: not one by one."""
    account = await opened(committer)
    key = Idempotency(TENANT, "key", b"same")
    asked = Submission(pay(account.id, usd(1)), idempotency=key, render=rendered)
    async with pool.acquire() as rival, rival.transaction():
        await rival.execute(
            "INSERT INTO idempotency_keys (tenant_id, key, fingerprint, status, headers, body,"
            " recorded_at) VALUES ($1, 'key', 'same', 202, '{}', 'theirs', now())",
            TENANT,
        )
        batch = [committer.submit(asked)]
        batch += [committer.submit(Submission(pay(account.id, usd(1)))) for _ in range(7)]
        replies = asyncio.gather(*batch)
        await eventually(lambda: is_blocked(pool))
    first, *others = await replies
    assert first.replayed
    assert first.answer is not None
    assert first.answer.body == b"theirs"
    assert all(isinstance(each.result, Payment) for each in others)
    sample = metrics.registry.get_sample_value
    reason = {"reason": "UniqueViolationError"}
    assert sample("payments_group_commit_retries_total", reason) == 1
    assert sample("payments_group_commit_batch_size_count") == 2  # the account's, and this one


async def test_a_migration_beside_it_costs_no_command(
    committer: GroupCommitter, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    """A statement that was prepared for the table as it was is prepared again."""
    account = await opened(committer)
    for number in range(3):
        assert isinstance(await submitted(committer, pay(account.id, usd(1))), Payment)
        await pool.execute(f"ALTER TABLE accounts ADD COLUMN added_{number} text")
        assert isinstance(await submitted(committer, pay(account.id, usd(1))), Payment)


async def test_a_flood_of_one_tenant_is_refused_and_nobody_else_is(
    pool: asyncpg.Pool[asyncpg.Record], metrics: Metrics
) -> None:
    """While nothing is recorded: the flood at its bound, a quiet tenant not at all."""
    limits = Limits(queue_max=40, in_flight=1, batch_max=4)
    async with GroupCommitter(pool, live(Policy()), metrics, limits) as committer:

        def asked(tenant_id: str, count: int) -> list[asyncio.Future[Result | Refused]]:
            commands = [replace(open_account(), tenant_id=tenant_id) for _ in range(count)]
            return [asyncio.ensure_future(submitted(committer, each)) for each in commands]

        async with pool.acquire() as holder, holder.transaction():
            await holder.execute("LOCK TABLE outbox IN EXCLUSIVE MODE")
            flood = asked("flood", 100)
            await eventually(lambda: sum(each.done() for each in flood) > 70)
            quiet = asked("quiet", 15)
            await eventually(lambda: is_blocked(pool))
            assert not any(each.done() for each in quiet)
        assert all(isinstance(each, Account) for each in await asyncio.gather(*quiet))
        outcomes = await asyncio.gather(*flood, return_exceptions=True)
    refused = [each for each in outcomes if isinstance(each, Overloaded)]
    assert len(refused) in range(71, 90)
    assert all(each.retry_after_s >= 0 for each in refused)


async def test_no_more_wait_than_are_done_within_a_while(
    pool: asyncpg.Pool[asyncpg.Record], metrics: Metrics
) -> None:
    """At the rate of the batches before, and a batch in any case; whoever is let in is recorded."""
    limits = Limits(batch_max=8, in_flight=1, wait_s=0.0)
    async with GroupCommitter(pool, live(Policy()), metrics, limits) as committer:
        outcomes = await asyncio.gather(
            *(submitted(committer, open_account()) for _ in range(100)), return_exceptions=True
        )
    accounts = [each for each in outcomes if isinstance(each, Account)]
    refused = [each for each in outcomes if isinstance(each, Overloaded)]
    assert len(accounts) in range(8, 20)
    assert len(refused) == 100 - len(accounts)
    assert all(each.retry_after_s > 0 for each in refused)


async def test_leaving_drains_what_was_submitted(
    pool: asyncpg.Pool[asyncpg.Record], metrics: Metrics
) -> None:
    """Everything queued when the committer closes is committed and answered."""
    async with (
        GroupCommitter(pool, live(Policy()), metrics) as committer,
        asyncio.TaskGroup() as group,
    ):
        tasks = [group.create_task(submitted(committer, open_account())) for _ in range(50)]
        await asyncio.sleep(0)
    assert all(isinstance(each.result(), Account) for each in tasks)
    assert await pool.fetchval("SELECT count(*) FROM accounts") == 50


def rendered(outcome: Result | Refused) -> Answer:
    match outcome:
        case Payment():
            assert outcome.status is PaymentStatus.PENDING
            return Answer(202, {"Location": f"/{outcome.id}"}, str(outcome.id).encode())
        case Refused():
            return Answer(422, {}, outcome.code.value.encode())
        case _:
            raise AssertionError(outcome)
