"""What is asked of a database that has grown costs what it costs of a small one."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

import pytest

from bench.grown import BEGAN_AT, BUSY, HELD, RARE_EVERY, grow, instant
from bench.growth import asked, cost_of
from payments.account import Account
from payments.commands import ClaimPayment, SettlePayment
from payments.decision import Claimed
from payments.outcome import Declined, Succeeded
from payments.payment import Payment, PaymentStatus
from store.read import payments as reading
from store.read.ledger import balance_at
from store.read.payments import PaymentFilters, payments_page
from store.write.group_commit import Submission
from tests.support.factories import SOURCE, TENANT, open_account, pay, transfer, usd

if TYPE_CHECKING:
    import asyncpg

    from payments.commands import Command
    from store.write.group_commit import GroupCommitter

_ROWS: Final = 50_000
_RARE: Final = _ROWS // RARE_EVERY
# Rows that a statement may touch for one page, whatever the table holds.
_TOUCHED_MAX: Final = 100
# A row of the ledger and its payment each, and some that are of others.
_SETTLED_MAX: Final = 2_010


@pytest.fixture
async def grown(pool: asyncpg.Pool[asyncpg.Record]) -> asyncpg.Pool[asyncpg.Record]:
    """Fifty thousand payments, of which five are in review and five failed."""
    async with pool.acquire() as connection:
        await grow(connection, _ROWS)
    await pool.execute(
        "INSERT INTO accounts (id, tenant_id, user_id, currency, status, credits_posted, version,"
        " created_at, updated_at) VALUES ($1, $2, 'u', 'USD', 'active', 1000, 1, $3, $3)",
        BUSY, TENANT, BEGAN_AT,
    )  # fmt: skip
    return pool


async def test_nothing_that_is_asked_grows_with_the_table(
    grown: asyncpg.Pool[asyncpg.Record],
) -> None:
    """As counted by EXPLAIN ANALYZE: what a page shows, and hardly more. Each filter finds its own.

    A filter that leaves out is bounded: it reads so many, and says how far.
    """
    async with grown.acquire() as connection:
        costs = {what: await cost_of(connection, *each) for what, each in asked(_ROWS).items()}
    # These two read what they are asked for.
    assert costs.pop("where a filter gives up").rows <= reading.READ_MAX + _TOUCHED_MAX
    assert costs.pop("settled between").rows <= _SETTLED_MAX
    assert {what: cost for what, cost in costs.items() if cost.rows > _TOUCHED_MAX} == {}
    assert not [cost for cost in costs.values() if "Seq Scan" in " ".join(cost.scans)]
    async with grown.acquire() as connection:
        for filters, count in (
            (PaymentFilters(status=PaymentStatus.REVIEW), _RARE),
            (PaymentFilters(status=PaymentStatus.FAILED), _RARE),
            (PaymentFilters(currency="KWD"), _RARE),
            (PaymentFilters(currency="KWD", account_id=BUSY), 0),
        ):
            found: list[Payment] = []
            pages = 0
            page = await payments_page(connection, TENANT, filters, before=None, limit=20)
            while True:
                found.extend(page.items)
                pages += 1
                if page.read_to is None:
                    break
                page = await payments_page(
                    connection, TENANT, filters, before=page.read_to, limit=20
                )
            assert len(found) == len({each.id for each in found}) == count
            bounded = filters.leave_out
            assert (pages > _ROWS // reading.READ_MAX // 3) if bounded else pages == 1
        balance = await balance_at(connection, TENANT, BUSY, instant(_ROWS // 2))
    assert balance is not None
    # Each credit of 100 is followed by a debit of 100, and the next row is one or the other.
    assert balance.posted_minor in {1_000, 1_100}
    assert balance.held_minor == HELD


async def test_a_payment_is_changed_without_its_indexes(
    committer: GroupCommitter, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    """To claim one, and to end it, is an update within its page (HOT)."""
    account = await _done(committer, open_account(usd(10**9)))
    assert isinstance(account, Account)
    made = await asyncio.gather(*(_done(committer, pay(account.id, usd(1))) for _ in range(500)))
    claims = await asyncio.gather(
        *(
            _done(committer, ClaimPayment(each.id, 1, "w"))
            for each in made
            if isinstance(each, Payment)
        )
    )
    hot, all_of = await _updates(pool, "payments")
    assert all_of == len(claims)
    assert hot > 0.5 * all_of
    outcome = Succeeded("pi_1")
    await asyncio.gather(
        *(_done(committer, _settle(each, outcome)) for each in claims if isinstance(each, Claimed))
    )
    hot, all_of = await _updates(pool, "payments")
    assert all_of == 2 * len(claims)
    assert hot > 0.5 * all_of
    assert await pool.fetchval("SELECT count(*) FROM open_payments") == 0


async def test_a_balance_in_the_past_is_the_fold_of_the_ledger(
    committer: GroupCommitter, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    """At every instant, from rows that say what was held and from older ones that do not."""
    account, payee = [await _done(committer, open_account(usd(10_000))) for _ in range(2)]
    assert isinstance(account, Account)
    assert isinstance(payee, Account)
    made = [await _done(committer, pay(account.id, usd(100 + n))) for n in range(6)]
    await _done(committer, transfer(account.id, payee.id, usd(7)))
    for number, payment in enumerate(made):
        assert isinstance(payment, Payment)
        claimed = await _done(committer, ClaimPayment(payment.id, 1, "w"))
        assert isinstance(claimed, Claimed)
        outcome = Succeeded("pi_1") if number % 2 else Declined("card_declined", "no")
        await _done(committer, _settle(claimed, outcome))
        await _done(committer, transfer(payee.id, account.id, usd(9)))
    expected = [tuple(row) for row in await pool.fetch(_FOLDED, account.id)]
    assert len(expected) > 15  # some were held, released, posted, and moved
    assert max(held for _, _, held in expected) > 0
    for _ in ("rows as they are", "rows from before"):
        async with pool.acquire() as connection:
            for at, posted, held in expected:
                balance = await balance_at(connection, TENANT, account.id, at)
                assert balance is not None
                assert (balance.posted_minor, balance.held_minor) == (posted, held)
        await pool.execute("UPDATE ledger_transfers SET debit_held_after = NULL")


# What an account had after each row of it, folded from the beginning.
_FOLDED: Final = """
SELECT
    recorded_at,
    sum(CASE WHEN state <> 'posted' THEN 0 WHEN debit_account_id = $1 THEN -amount_minor
        ELSE amount_minor END) OVER (ORDER BY recorded_at, id RANGE UNBOUNDED PRECEDING),
    sum(CASE WHEN debit_account_id <> $1 THEN 0 WHEN state = 'pending' THEN amount_minor
        ELSE -releases_minor END) OVER (ORDER BY recorded_at, id RANGE UNBOUNDED PRECEDING)
FROM ledger_transfers
WHERE $1 IN (debit_account_id, credit_account_id)
ORDER BY recorded_at, id
"""


def _settle(claimed: Claimed, outcome: Succeeded | Declined) -> SettlePayment:
    attempt = claimed.attempt
    return SettlePayment(attempt.payment_id, attempt.id, attempt.operation, outcome, SOURCE)


async def _done(committer: GroupCommitter, command: Command) -> object:
    return (await committer.submit(Submission(command))).result


async def _updates(pool: asyncpg.Pool[asyncpg.Record], table: str) -> tuple[int, int]:
    async with AsyncExitStack() as stack:
        # What a session did is told when it is told to.
        for _ in range(pool.get_size()):
            session = await stack.enter_async_context(pool.acquire())
            await session.execute("SELECT pg_stat_force_next_flush()")
    row = await pool.fetchrow(
        "SELECT n_tup_hot_upd AS hot, n_tup_upd AS all_of FROM pg_stat_user_tables"
        " WHERE relname = $1",
        table,
    )
    assert row is not None
    return row["hot"], row["all_of"]
