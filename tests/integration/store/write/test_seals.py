"""Seals on a real Postgres: one chain a tenant, behind the writers' backs, and tampering found."""

from __future__ import annotations

import asyncio
from dataclasses import fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import asyncpg
import pytest

from agents.schedule import Schedule
from payments.journal.seals import JournalRow
from payments.progress import Policy
from providers.registry import NAMES
from store.write import seals as seals_module
from store.write.context import live
from store.write.group_commit import GroupCommitter, Submission
from store.write.seals import seal_settled
from tests.support.factories import open_account
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from telemetry.metrics import Metrics
    from tests.support.store.books import Books

FORGERIES: Final[dict[str, tuple[str, list[str]]]] = {
    "amount": (
        "UPDATE ledger_transfers SET amount_minor = 1 WHERE id = (TABLE fourth)",
        ["row changed"],
    ),
    "description": (
        "UPDATE ledger_transfers SET description = 'x' WHERE id = (TABLE fourth)",
        ["row changed"],
    ),
    "infinite time": (
        "UPDATE ledger_transfers SET recorded_at = '-infinity' WHERE id = (TABLE fourth)",
        ["row changed"],
    ),
    "deleted row": ("DELETE FROM ledger_transfers WHERE id = (TABLE fourth)", ["row deleted"]),
    "inserted row": (
        """
        INSERT INTO ledger_transfers
        SELECT (jsonb_populate_record(
            one, jsonb_build_object('id', overlay(id::text PLACING 'ffffffff' FROM 29))
        )).*
        FROM ledger_transfers AS one WHERE id = (TABLE fourth)
        """,
        ["row inserted"],
    ),
    "row given to another tenant": (
        "UPDATE ledger_transfers SET tenant_id = 'other' WHERE id = (TABLE fourth)",
        ["row deleted", "row inserted"],
    ),
    "two rows in each other's place": (
        """
        UPDATE ledger_transfers SET id = '00000000-0000-0000-0000-000000000000'
        WHERE id = (TABLE fourth);
        UPDATE ledger_transfers SET id = (TABLE fourth) WHERE id = (TABLE sixth);
        UPDATE ledger_transfers SET id = (TABLE sixth)
        WHERE id = '00000000-0000-0000-0000-000000000000';
        """,
        ["row changed", "row changed"],
    ),
    "row at another time": (
        """
        UPDATE ledger_transfers SET id = '00000000-0000-7000-8000-000000000000'
        WHERE id = (TABLE fourth)
        """,
        ["row deleted", "row inserted"],
    ),
    "row in the past of a quiet tenant": (
        """
        INSERT INTO ledger_transfers
        SELECT (jsonb_populate_record(
            one, '{"tenant_id": "quiet", "id": "00000000-0000-7000-8000-000000000000"}'
        )).*
        FROM ledger_transfers AS one WHERE id = (TABLE fourth)
        """,
        ["row inserted"],
    ),
    "digest of a seal": (
        "UPDATE ledger_seals SET digest = sha256('') WHERE number = 1",
        ["seal changed"],
    ),
    "time of a seal": (
        "UPDATE ledger_seals SET sealed_at = now() WHERE number = 1",
        ["seal changed"],
    ),
    "deleted seal": ("DELETE FROM ledger_seals WHERE number = 1", ["seal missing"]),
}


async def test_settled_rows_are_sealed_once_and_hold(books: Books) -> None:
    """Each sealing continues the chain of each tenant, and the whole holds."""
    await books.write(3)
    (first,) = await books.seal()
    await books.write(2)
    await books.write(1, "other")
    second, of_other = await books.seal()
    assert (first.number, first.row_count) == (1, 5)
    assert (second.number, second.row_count, second.previous_digest) == (2, 4, first.digest)
    assert (of_other.tenant_id, of_other.number, of_other.row_count) == ("other", 1, 3)
    assert await books.seal() == []
    audit, problems = await books.verify()
    assert (problems, audit.rows, audit.seals, audit.unsealed) == ([], 12, 3, 0)
    audit, problems = await books.verify(tenant_id="other")
    assert (problems, audit.rows, audit.seals) == ([], 3, 1)


async def test_a_long_ledger_is_sealed_piece_by_piece(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sealing takes so many rows of all tenants together, and says when there is more."""
    monkeypatch.setattr(seals_module, "ROWS_MAX", 4)
    await books.write(3)
    await books.write(3, "other")
    sizes = [[each.row_count for each in await books.seal()] for _ in range(4)]
    assert sizes == [[4], [1, 3], [2], []]
    assert await books.found() == []


@pytest.mark.parametrize("forgery", FORGERIES)
async def test_what_was_forged_is_named(books: Books, forgery: str) -> None:
    """Whoever owns the tables can change them, and it shows, and stays."""
    statements, expected = FORGERIES[forgery]
    await books.write(5)
    await books.seal()
    await books.write(5)
    await books.seal()
    assert await books.found() == []
    await books.forge(statements)
    assert await books.seal() == []
    assert sorted(await books.found()) == expected


async def test_seals_can_only_be_added(books: Books) -> None:
    """A mistaken statement is refused by the database."""
    await books.write(1)
    await books.seal()
    for mistake in (
        "UPDATE ledger_seals SET number = 2",
        "DELETE FROM ledger_seals",
        "TRUNCATE ledger_seals",
    ):
        with pytest.raises(asyncpg.RaiseError, match="append-only"):
            await books.pool.execute(mistake)


async def test_sealers_at_once_make_one_chain(books: Books) -> None:
    """Any number may run; whoever comes second does nothing."""
    await books.write(4)
    for _ in range(5):
        await asyncio.gather(*(books.seal() for _ in range(4)))
        await books.write(1)
    await books.seal()
    numbers = await books.pool.fetch("SELECT number FROM ledger_seals ORDER BY number")
    assert [each["number"] for each in numbers] == [1, 2, 3, 4, 5, 6]
    audit, problems = await books.verify()
    assert (problems, audit.unsealed) == ([], 0)


async def test_a_transaction_at_work_may_still_write_before_what_is_committed(
    books: Books, metrics: Metrics
) -> None:
    """So nothing younger than its beginning is sealed before it ends."""
    async with books.pool.acquire() as slow:
        transaction = slow.transaction()
        await transaction.start()
        early = live(Policy())().new_id()
        async with GroupCommitter(books.pool, live(Policy()), metrics) as committer:
            await committer.submit(Submission(open_account()))
        assert await books.seal() == []
        await slow.execute(
            "INSERT INTO ledger_transfers SELECT (jsonb_populate_record("
            "one, jsonb_build_object('id', $1::uuid))).* FROM ledger_transfers AS one",
            early,
        )
        await transaction.commit()
    (seal,) = await books.seal()
    assert (seal.first_id, seal.row_count) == (early, 2)
    assert await books.found() == []


async def test_writers_clocks_may_differ(books: Books, metrics: Metrics) -> None:
    """What is younger than clocks may differ waits, for a writer whose clock is behind."""
    async with GroupCommitter(books.pool, live(Policy()), metrics) as committer:
        await committer.submit(Submission(open_account()))
    assert await seal_settled(books.pool, datetime.now(UTC)) == []
    (seal,) = await books.seal()
    assert seal.row_count == 1


async def test_a_seal_stands_for_every_column(books: Books) -> None:
    """Whoever adds a column to the ledger decides in which format seals cover it."""
    columns = await books.pool.fetch(
        "SELECT column_name AS name FROM information_schema.columns"
        " WHERE table_name = 'ledger_transfers' AND table_schema = 'public'"
    )
    assert {each["name"] for each in columns} == {each.name for each in fields(JournalRow)}


async def test_the_schedule_seals(books: Books, metrics: Metrics) -> None:
    """Within seconds, and all there is."""
    await books.write(3)
    stopping = asyncio.Event()
    async with GroupCommitter(books.pool, live(Policy()), metrics) as committer:
        schedule = Schedule(
            books.pool,
            books.pool,
            committer,
            metrics,
            lambda: datetime.now(UTC),
            7 * 86_400.0,
            Policy().patience_s,
            NAMES,
        )
        running = asyncio.ensure_future(schedule.run(stopping))

        async def is_sealed() -> bool:
            return bool(await books.pool.fetchval("SELECT sum(row_count) = 5 FROM ledger_seals"))

        await eventually(is_sealed)
        stopping.set()
        await running
    assert await books.found() == []
