"""What is asked of a database that has grown costs what it costs of a small one."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Final

import pytest

from bench.asked import GIVES_UP_AT, asked
from bench.grown import BUSY, HELD, RARE_EVERY, grow, instant
from bench.grown_lists import LOUD_TENANT, grow_lists
from bench.growth import cost_of
from payments.account import Account
from payments.commands import ClaimPayment, SettlePayment
from payments.dead_letter import DeadLetterState
from payments.decision import Claimed
from payments.outcome import Declined, Succeeded
from payments.payment import Payment, PaymentStatus
from store.read.dead_letters import DeadLetterFilters, dead_letters_page
from store.read.found import READ_MAX, first_of, pages_of
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
# Several times what a page reads.
_LISTED: Final = 4 * READ_MAX


@pytest.fixture
async def grown(pool: asyncpg.Pool[asyncpg.Record]) -> asyncpg.Pool[asyncpg.Record]:
    """Fifty thousand payments, of which five are in review and five failed, and long lists."""
    async with pool.acquire() as connection:
        await grow(connection, _ROWS)
        await grow_lists(connection, _LISTED)
    return pool


async def test_nothing_that_is_asked_grows_with_the_table(
    grown: asyncpg.Pool[asyncpg.Record],
) -> None:
    """As counted by EXPLAIN ANALYZE: what a page shows, and hardly more.

    What hardly a row passes is given up after so many, of which there are enough.
    """
    sought = asked(_ROWS)
    async with grown.acquire() as connection:
        costs = {what: await cost_of(connection, each) for what, each in sought.items()}
    beyond = {what: cost for what, cost in costs.items() if cost.rows > sought[what].touched_max}
    assert beyond == {}
    assert not [cost for cost in costs.values() if "Seq Scan" in " ".join(cost.scans)]
    given_up = [what for what, each in sought.items() if each.touched_max == GIVES_UP_AT]
    assert [what for what in given_up if costs[what].rows < READ_MAX] == []


async def test_each_filter_finds_its_own(grown: asyncpg.Pool[asyncpg.Record]) -> None:
    """By an index in one page, or in pages of which each reads so many and says how far."""
    async with grown.acquire() as connection:
        for filters, count, is_indexed in (
            (PaymentFilters(status=PaymentStatus.REVIEW), _RARE, True),
            (PaymentFilters(status=PaymentStatus.FAILED), _RARE, True),
            (PaymentFilters(currency="KWD"), _RARE, False),
            (PaymentFilters(currency="KWD", account_id=BUSY), 0, False),
        ):
            read = partial(payments_page, connection, TENANT, filters)
            pages = [page async for page in pages_of(read, 20)]
            found = [each.id for page in pages for each in page]
            assert len(found) == len(set(found)) == count
            assert len(pages) == 1 if is_indexed else len(pages) > _ROWS // READ_MAX // 3
        balance = await balance_at(connection, TENANT, BUSY, instant(_ROWS // 2))
    assert balance is not None
    # Each credit of 100 is followed by a debit of 100, and the next row is one or the other.
    assert balance.posted_minor in {1_000, 1_100}
    assert balance.held_minor == HELD


async def test_a_whole_list_is_read_in_its_order(grown: asyncpg.Pool[asyncpg.Record]) -> None:
    """Each row once, by pages that are full, short or empty; and the first so many of them."""
    redriven, elsewhere = (
        DeadLetterFilters(state=DeadLetterState.REDRIVEN),
        DeadLetterFilters(stage="refund"),
    )
    async with grown.acquire() as connection:
        for tenant_id in (TENANT, None):
            read = partial(dead_letters_page, connection, tenant_id, redriven)
            ids = [each.id async for page in pages_of(read) for each in page]
            assert ids == [row["id"] for row in await connection.fetch(_REDRIVEN, tenant_id)]
            assert len(ids) > READ_MAX
            assert [each.id for each in await first_of(read, 1_234)] == ids[:1_234]
        read = partial(dead_letters_page, connection, LOUD_TENANT, elsewhere)
        # Twice what a page reads.
        assert [len(page) async for page in pages_of(read)] == [0, 0, 0]


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


_REDRIVEN: Final = """
SELECT id FROM dead_letters
WHERE state = 'redriven' AND ($1::text IS NULL OR tenant_id = $1)
ORDER BY last_failed_at DESC, id DESC
"""
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
