"""What somebody else holds keeps waiting who needs it, and nobody else."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import asyncpg
import pytest

from payments.account import Account
from payments.commands import CancelPayment
from payments.decision import Refused, Result
from payments.payment import Payment, PaymentStatus
from store.write.group_commit import (
    Answer,
    GroupCommitter,
    Held,
    Idempotency,
    KeyInFlight,
    Limits,
    StoreUnavailable,
    Submission,
)
from tests.support.factories import TENANT, open_account, pay, usd
from tests.support.fixtures.committer import brisk
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    from payments.commands import Command
    from process.addresses import DatabaseAddress
    from telemetry.metrics import Metrics

    Pool = asyncpg.Pool[asyncpg.Record]

# Longer than a batch waits, by far: whoever is answered within it did not wait for the lock.
_LONG_S = 60.0


@pytest.fixture
def committer(brisk_committer: GroupCommitter) -> GroupCommitter:
    """As a process has one."""
    return brisk_committer


@asynccontextmanager
async def holding(pool: Pool, statement: str, *arguments: object) -> AsyncIterator[None]:
    """Somebody else's transaction, with what the statement locks."""
    async with pool.acquire() as holder, holder.transaction():
        await holder.execute(statement, *arguments)
        yield


async def done(committer: GroupCommitter, command: Command) -> Result | Refused:
    return (await committer.submit(Submission(command), _LONG_S)).result


async def opened(committer: GroupCommitter) -> Account:
    account = await done(committer, open_account())
    assert isinstance(account, Account)
    return account


async def set_aside(metrics: Metrics) -> bool:
    return bool(metrics.registry.get_sample_value("payments_group_commit_set_aside"))


def rendered(outcome: Result | Refused) -> Answer:
    assert isinstance(outcome, Payment)
    return Answer(202, {}, str(outcome.id).encode())


async def test_an_account_that_is_locked_delays_its_own_payments_and_no_other(
    committer: GroupCommitter, pool: Pool, metrics: Metrics
) -> None:
    """Batch after batch, those beside it are all recorded while it is held, and it afterwards."""
    held, free = await opened(committer), await opened(committer)
    async with holding(pool, "SELECT FROM accounts WHERE id = $1 FOR UPDATE", held.id):
        waiting = [asyncio.ensure_future(done(committer, pay(held.id, usd(1)))) for _ in range(8)]
        await eventually(lambda: set_aside(metrics))
        for _ in range(8):
            batch = [done(committer, pay(free.id, usd(1))) for _ in range(8)]
            waiting.append(asyncio.ensure_future(done(committer, pay(held.id, usd(1)))))
            assert all(isinstance(each, Payment) for each in await asyncio.gather(*batch))
        assert not any(each.done() for each in waiting)
    assert all(isinstance(each, Payment) for each in await asyncio.gather(*waiting))
    assert await pool.fetchval("SELECT count(*) FROM payments") == 8 * 8 + 16


async def test_a_payment_that_is_locked_delays_no_other(
    committer: GroupCommitter, pool: Pool, metrics: Metrics
) -> None:
    """Nor what its account pays, for a command holds its account only once it has its payment."""
    account = await opened(committer)
    held, free = [await done(committer, pay(account.id, usd(1))) for _ in range(2)]
    assert isinstance(held, Payment)
    assert isinstance(free, Payment)
    async with holding(pool, "SELECT FROM payments WHERE id = $1 FOR UPDATE", held.id):
        waiting = asyncio.ensure_future(done(committer, CancelPayment(TENANT, held.id)))
        await eventually(lambda: set_aside(metrics))
        cancelled = await done(committer, CancelPayment(TENANT, free.id))
        assert isinstance(cancelled, Payment)
        assert cancelled.status is PaymentStatus.CANCELLED
        assert isinstance(await done(committer, pay(account.id, usd(1))), Payment)
        assert not waiting.done()
    assert isinstance(await waiting, Payment)


async def test_who_waits_for_too_long_is_told_and_its_key_is_free(
    committer: GroupCommitter, pool: Pool
) -> None:
    """Nothing was decided; the same request is performed once, when the lock is gone."""
    account = await opened(committer)
    key = Idempotency(TENANT, "key", b"same")
    submission = Submission(pay(account.id, usd(1)), idempotency=key, render=rendered)
    async with holding(pool, "SELECT FROM accounts WHERE id = $1 FOR UPDATE", account.id):
        with pytest.raises(Held):
            await committer.submit(submission, 0.5)
    reply = await committer.submit(submission, _LONG_S)
    assert not reply.replayed
    assert await pool.fetchval("SELECT count(*) FROM payments") == 1


async def test_who_waits_takes_nobodys_place_and_the_next_are_told(
    database: DatabaseAddress, pool: Pool, metrics: Metrics
) -> None:
    """Four of a tenant's may wait here: the others are told at once, and what is free goes on."""
    async with brisk(database, metrics, Limits(queue_max=8)) as committer:
        held, free = await opened(committer), await opened(committer)
        async with holding(pool, "SELECT FROM accounts WHERE id = $1 FOR UPDATE", held.id):
            waiting = []
            for number in range(1, 7):
                waiting.append(asyncio.ensure_future(done(committer, pay(held.id, usd(1)))))
                await eventually(partial(_are_aside, metrics, min(number, 4)))
            told = waiting[4:]
            await eventually(lambda: all(each.done() for each in told))
            assert all(isinstance(each.exception(), Held) for each in told)
            for _ in range(10):
                assert isinstance(await done(committer, pay(free.id, usd(1))), Payment)
        assert all(isinstance(each, Payment) for each in await asyncio.gather(*waiting[:4]))


async def _are_aside(metrics: Metrics, count: int) -> bool:
    return metrics.registry.get_sample_value("payments_group_commit_set_aside") == count


async def test_a_key_is_in_flight_where_another_session_is_at_work_with_it(
    committer: GroupCommitter, pool: Pool
) -> None:
    """That, and nothing else that is held, is said of it."""
    account = await opened(committer)
    key = Idempotency(TENANT, "key", b"same")
    submission = Submission(pay(account.id, usd(1)), idempotency=key, render=rendered)
    inserted = (
        "INSERT INTO idempotency_keys (tenant_id, key, fingerprint, status, headers, body,"
        " recorded_at) VALUES ($1, 'key', 'same', 202, '{}', '', now())"
    )
    async with holding(pool, inserted, TENANT):
        in_flight = asyncio.ensure_future(committer.submit(submission, 2.0))
        await eventually(in_flight.done)
        with pytest.raises(KeyInFlight):
            await in_flight
        others = [done(committer, pay(account.id, usd(1))) for _ in range(8)]
        assert all(isinstance(each, Payment) for each in await asyncio.gather(*others))
    assert (await committer.submit(submission, _LONG_S)).replayed


async def test_a_key_in_flight_is_told_of_before_who_waits_gives_up(
    database: DatabaseAddress, metrics: Metrics, pool: Pool
) -> None:
    """After the wait for a key; an account that is held as long is waited for as ever."""
    async with brisk(database, metrics, Limits(key_wait_s=0.5)) as committer:
        account, held = await opened(committer), await opened(committer)
        key = Idempotency(TENANT, "key", b"same")
        submission = Submission(pay(account.id, usd(1)), idempotency=key, render=rendered)
        inserted = (
            "INSERT INTO idempotency_keys (tenant_id, key, fingerprint, status, headers, body,"
            " recorded_at) VALUES ($1, 'key', 'same', 202, '{}', '', now())"
        )
        locked = "SELECT FROM accounts WHERE id = $1 FOR UPDATE"
        async with holding(pool, inserted, TENANT), holding(pool, locked, held.id):
            waiting = asyncio.ensure_future(done(committer, pay(held.id, usd(1))))
            with pytest.raises(KeyInFlight):
                await committer.submit(submission, _LONG_S)
            assert not waiting.done()
        assert isinstance(await waiting, Payment)


async def test_a_table_that_is_locked_is_waited_for_as_long_as_each_wants_to(
    committer: GroupCommitter, pool: Pool, metrics: Metrics
) -> None:
    """Everybody needs the outbox: the impatient are told, and the patient recorded in the end."""
    account = await opened(committer)

    async def asked(key: str, patience_s: float) -> object:
        submission = Submission(
            pay(account.id, usd(1)), idempotency=Idempotency(TENANT, key, b"same"), render=rendered
        )
        return await committer.submit(submission, patience_s)

    def all_of(kind: str, patience_s: float) -> list[Coroutine[object, object, object]]:
        return [asked(f"{kind}-{number}", patience_s) for number in range(20)]

    async with holding(pool, "LOCK TABLE outbox IN EXCLUSIVE MODE"):
        patient = asyncio.gather(*all_of("patient", _LONG_S))
        impatient = await asyncio.gather(*all_of("impatient", 1.0), return_exceptions=True)
        assert {type(each) for each in impatient} == {Held}
        assert not patient.done()
    await patient
    # Of those who were told some may have been recorded since; asked for again, each is one.
    await asyncio.gather(*all_of("impatient", _LONG_S))
    assert await pool.fetchval("SELECT count(*) FROM payments") == 40
    await eventually(lambda: _nobody_waits(metrics))


async def _nobody_waits(metrics: Metrics) -> bool:
    return not await set_aside(metrics)


async def test_a_statement_that_is_cut_off_is_no_sign_of_an_outage(
    committer: GroupCommitter, pool: Pool
) -> None:
    """Whoever is slow is tried again by itself; the others are recorded, and nobody is refused."""
    slow, quick = await opened(committer), await opened(committer)
    await pool.execute(
        f"""
        CREATE TABLE patience AS SELECT 1 AS tries;
        CREATE SEQUENCE cut_off;
        CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF new.source_account_id = '{slow.id}' AND nextval('cut_off') <= 3 THEN
                RAISE query_canceled;
            END IF;
            RETURN new;
        END $$;
        CREATE TRIGGER dawdles BEFORE INSERT ON payments FOR EACH ROW EXECUTE FUNCTION dawdle();
        """
    )
    commands = [pay(slow.id, usd(1)), *(pay(quick.id, usd(1)) for _ in range(7))]
    outcomes = await asyncio.gather(*(done(committer, each) for each in commands))
    assert all(isinstance(each, Payment) for each in outcomes)


async def test_a_primary_that_takes_no_writes_is_away(
    database: DatabaseAddress, committer: GroupCommitter, pool: Pool
) -> None:
    """Nothing is wrong with what was asked; recorded as soon as a session may write again."""
    account = await opened(committer)
    before = await pool.fetchval(
        "SELECT array_agg(pid) FROM pg_stat_activity WHERE application_name = 'brisk'"
        " AND datname = current_database()"
    )
    # As those of a primary that was demoted: they stay what they are, whatever comes after it.
    demoted = f"ALTER DATABASE {database.database} SET default_transaction_read_only = on"
    await pool.execute(demoted)
    await pool.execute("SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) AS pid", before)

    async def is_refused() -> bool:
        try:
            await done(committer, pay(account.id, usd(1)))
        except StoreUnavailable as error:
            return "read-only" in str(error)
        return False

    await eventually(is_refused)
    async with pool.acquire() as administrator, administrator.transaction(readonly=False):
        await administrator.execute("SET TRANSACTION READ WRITE")
        await administrator.execute(
            f"ALTER DATABASE {database.database} RESET default_transaction_read_only"
        )

    async def is_taken() -> bool:
        try:
            return isinstance(await done(committer, pay(account.id, usd(1))), Payment)
        except StoreUnavailable:
            return False

    await eventually(is_taken)
