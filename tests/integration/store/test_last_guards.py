"""What the tables refuse by themselves: no bug above them can record money that is not there."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import asyncpg
import pytest

from payments.account import CHANGES_MAX, Account
from payments.commands import AttachPaymentMethod, CancelPayment, CreatePayment, NotifyPayment
from payments.decision import RefusalCode, Refused
from payments.notification import Reported
from payments.payment import Payment
from store.queries import bound
from store.write.group_commit import Submission
from tests.support.factories import STRIPE, TENANT, open_account, pay, said
from topics.names import TOPICS

if TYPE_CHECKING:
    from store.write.group_commit import GroupCommitter

# Of a customer with a payment that is accepted and one that is cancelled: one hold is released.
_REFUSED: Final = {
    "overdrawn": "UPDATE accounts SET debits_pending = credits_posted - debits_posted + 1",
    "refunded beyond the capture": "UPDATE payments SET refund_pending_minor = captured_minor + 1",
    "captured beyond the payment": "UPDATE payments SET captured_minor = amount_minor + 1",
    "a hold resolved twice": (
        "INSERT INTO ledger_transfers SELECT (jsonb_populate_record(ledger_transfers,"
        " jsonb_build_object('id', gen_random_uuid()))).* FROM ledger_transfers"
        " WHERE pending_id IS NOT NULL"
    ),
    "an event taken twice": "INSERT INTO provider_events SELECT * FROM provider_events",
    "owed and never due": "UPDATE payments SET due_at = NULL WHERE operation IS NOT NULL",
    "a payment method of two accounts": (
        "INSERT INTO payment_methods SELECT (jsonb_populate_record(payment_methods,"
        " jsonb_build_object('id', gen_random_uuid()))).* FROM payment_methods"
    ),
    "a lease on what is not owed": (
        "UPDATE payments SET lease_id = gen_random_uuid() WHERE operation IS NULL"
    ),
}


@pytest.fixture
async def books(
    committer: GroupCommitter, pool: asyncpg.Pool[asyncpg.Record]
) -> asyncpg.Pool[asyncpg.Record]:
    """A database in which somebody has paid, thought better of it once, and a provider spoke."""
    account = (await committer.submit(Submission(open_account()))).result
    assert isinstance(account, Account)
    card = AttachPaymentMethod(TENANT, account.id, STRIPE, "pm_1")
    await committer.submit(Submission(card))
    kept, cancelled = [await _accepted(committer, pay(account.id)) for _ in range(2)]
    await committer.submit(Submission(NotifyPayment(kept.id, said(Reported.DONE))))
    await committer.submit(Submission(CancelPayment(TENANT, cancelled.id)))
    return pool


async def _accepted(committer: GroupCommitter, command: CreatePayment) -> Payment:
    payment = (await committer.submit(Submission(command))).result
    assert isinstance(payment, Payment)
    return payment


@pytest.mark.parametrize("what", _REFUSED)
async def test_postgres_refuses_what_no_decision_may_say(
    books: asyncpg.Pool[asyncpg.Record], what: str
) -> None:
    """Each as a hand or a bad release could write it, past every decision."""
    with pytest.raises((asyncpg.CheckViolationError, asyncpg.UniqueViolationError)):
        await books.execute(_REFUSED[what])


async def test_an_account_at_its_last_version_is_told_so(
    committer: GroupCommitter, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    """Before the column ends: nothing of it is taken for a database that is away."""
    account = (await committer.submit(Submission(open_account()))).result
    assert isinstance(account, Account)
    taken = await _accepted(committer, pay(account.id))
    await pool.execute("UPDATE accounts SET version = $1", CHANGES_MAX)
    refused = (await committer.submit(Submission(pay(account.id)))).result
    assert isinstance(refused, Refused)
    assert refused.code is RefusalCode.ACCOUNT_TURNOVER_EXCEEDED
    cancelled = (await committer.submit(Submission(CancelPayment(TENANT, taken.id)))).result
    assert isinstance(cancelled, Payment)
    assert await pool.fetchval("SELECT version FROM accounts") == CHANGES_MAX + 1


# The days of the daily partitions and one that only the default one takes, by their distance.
_DAYS: Final = {"today": 0, "a day made ahead": 9, "a day without a partition": 90}


@pytest.mark.parametrize("day", _DAYS)
async def test_no_message_is_for_a_topic_nobody_declared(
    books: asyncpg.Pool[asyncpg.Record], day: str
) -> None:
    """It would hold the relay for good; in a partition made later as in those there are."""
    made = _at(_DAYS["a day made ahead"])
    range_ = {"first_at": made - timedelta(days=1), "end_at": made + timedelta(days=1)}
    await books.execute(*bound("make_partition", parent="outbox", rows_max=0, **range_))
    copied = (
        "INSERT INTO outbox SELECT (jsonb_populate_record(outbox, jsonb_build_object("
        "'id', gen_random_uuid(), 'aggregatetype', $1::text, 'recorded_at', $2::timestamptz))).*"
        " FROM outbox LIMIT 1"
    )
    for topic in TOPICS:
        await books.execute(copied, topic.name, _at(_DAYS[day]))
    for name in ("somebody.elses", "", "PAYMENTS.EVENTS"):
        with pytest.raises(asyncpg.CheckViolationError, match="outbox_topic_is_declared"):
            await books.execute(copied, name, _at(_DAYS[day]))


async def test_the_declared_topics_are_those_of_the_table(
    pool: asyncpg.Pool[asyncpg.Record],
) -> None:
    """One added to the table of topics alone, and not to the constraint, is found here."""
    definitions = await pool.fetch(
        "SELECT conrelid::regclass::text AS name, pg_get_constraintdef(oid) AS text, convalidated"
        " FROM pg_constraint WHERE conname = 'outbox_topic_is_declared'"
    )
    partitions = await pool.fetch("SELECT relid::regclass::text FROM pg_partition_tree('outbox')")
    assert {row["name"] for row in definitions} == {row["relid"] for row in partitions}
    for row in definitions:
        assert set(re.findall(r"'([^']*)'", row["text"])) == {topic.name for topic in TOPICS}
        assert row["convalidated"]


def _at(days: int) -> datetime:
    return datetime.now(UTC) + timedelta(days=days)
