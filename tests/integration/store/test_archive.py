"""A month of history leaves the database whole, and what is in its files still counts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import asyncpg
import pytest
import zstandard

from payments.account import Account
from payments.commands import CancelPayment, ClaimPayment
from payments.outcome import Declined, Succeeded, Unknown
from store.archive.archiving import Archive, Outcome
from store.archive.files import manifests_in
from store.housekeeping import keep_house
from store.pool import long_reading
from tests.support.factories import TENANT, transfer
from tests.support.store.history import AS_IF_OVER
from tests.support.verify.world import World
from verify.archive import read_archive
from verify.database import read_baseline

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path
    from uuid import UUID

    from process.addresses import DatabaseAddress
    from store.archive.files import Manifest
    from store.write.group_commit import GroupCommitter
    from verify.invariants import CheckResult

# After the end of the first partition, wherever in a month this is run.
_LATER: Final = datetime.now(UTC) + timedelta(days=100)
_HISTORY: Final = "SELECT (SELECT count(*) FROM payment_events) + (SELECT count(*) FROM attempts)"
_PARTS: Final = "SELECT inhrelid FROM pg_inherits ORDER BY inhrelid"
_PAID: Final = Succeeded("pi_1")


@pytest.fixture
async def world(committer: GroupCommitter, pool: asyncpg.Pool[asyncpg.Record]) -> World:
    """Payments that have ended, each another way; and partitions for those of later months."""
    await keep_house(pool, _LATER, 604_800.0)
    made = World(committer)
    one, other = await made.account(), await made.account()
    await made.requested(transfer(one.id, other.id))
    await made.refund(await made.payment(one, _PAID), 2_000, Succeeded("re_1"))
    await made.payment(one, Declined("card_declined", "no"))
    await made.ask(CancelPayment(TENANT, await made.payment(one)))
    return made


@pytest.fixture
async def reading(database: DatabaseAddress) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    async with long_reading(database, application_name="payments archive") as connection:
        yield connection


@pytest.fixture
async def archive(
    pool: asyncpg.Pool[asyncpg.Record],
    reading: asyncpg.Connection[asyncpg.Record],
    tmp_path: Path,
) -> Archive:
    """Of payments that were made a moment ago: as if their month were over."""
    await pool.execute(AS_IF_OVER)
    return Archive(pool, reading, tmp_path)


async def test_a_month_that_goes_on_is_not_taken_out(
    world: World,
    pool: asyncpg.Pool[asyncpg.Record],
    reading: asyncpg.Connection[asyncpg.Record],
    tmp_path: Path,
) -> None:
    """Whatever is asked for: by the database's clock; what was made ahead stays, too."""
    rows, parts = await pool.fetchval(_HISTORY), await pool.fetch(_PARTS)
    with pytest.raises(asyncpg.CheckViolationError, match="archived_history_is_over"):
        await Archive(pool, reading, tmp_path).run(_LATER, lambda _: None)
    assert await pool.fetch(_PARTS) == parts
    assert await pool.fetchval(_HISTORY) == rows > 0
    assert await pool.fetchval("SELECT count(*) FROM archived_history") == 0
    del world


async def archived(archive: Archive) -> list[Outcome]:
    outcomes: list[Outcome] = []
    await archive.run(_LATER, outcomes.append)
    return outcomes


async def verified(database: DatabaseAddress, directory: Path | None) -> list[CheckResult]:
    """As `payments verify` does, of the database and the archive."""
    async with long_reading(database, application_name="payments-verify") as connection:
        found = await read_archive(connection, directory)
        baseline = await read_baseline(connection, outbox_retention_s=86_400)
        return [*baseline.results, *found]


def wrong(results: list[CheckResult]) -> set[tuple[str, str]]:
    return {(each.invariant, each.source) for each in results if not each.holds}


async def test_what_left_is_verified_where_it_is(
    world: World, archive: Archive, database: DatabaseAddress, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    """Without the files it is said that nobody looked; with them all counts as before."""
    assert wrong(await verified(database, None)) == set()
    rows = await pool.fetchval(_HISTORY)
    (outcome, *_) = await archived(archive)
    assert outcome.manifest is not None
    assert sum(part.rows for part in outcome.manifest.parts) == rows
    assert await pool.fetchval(_HISTORY) == 0
    assert await pool.fetchval("SELECT to_regclass('payment_events_first')") is None
    unread = await verified(database, None)
    assert wrong(unread) == set()
    assert {each.invariant for each in unread if each.unchecked} == {"I8", "I11"}
    read = await verified(database, archive.directory)
    assert wrong(read) == set()
    assert not [each for each in read if each.unchecked]
    assert {each.checked for each in read if each.invariant == "I11"} == {4, 1}
    assert await archived(archive) == []
    del world


async def test_what_happens_later_goes_on_from_there(
    world: World, archive: Archive, database: DatabaseAddress, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    """A refund of a payment that was archived: its events are here, the first ones in the files."""
    payment_id = await pool.fetchval("SELECT id FROM payments WHERE status = 'partially_refunded'")
    await archived(archive)
    await world.refund(payment_id, 1_000, Succeeded("re_2"))
    assert await pool.fetchval(_HISTORY) > 0
    assert wrong(await verified(database, None)) == set()
    assert wrong(await verified(database, archive.directory)) == set()
    await pool.execute("DELETE FROM payment_events WHERE type = 'refund.completed'")
    assert ("I8", "database") in wrong(await verified(database, archive.directory))
    # The months to come are made as before, and not those that left.
    assert {each.refusal for each in await keep_house(pool, _LATER, 604_800.0)} == {None}
    assert await pool.fetchval("SELECT to_regclass('payment_events_first')") is None


async def _open(world: World) -> UUID:
    return await world.payment(await world.account())


async def _unknown(world: World) -> UUID:
    return await world.payment(await world.account(), Unknown("timeout", "no answer"))


async def _claimed(world: World) -> UUID:
    payment_id = await world.payment(await world.account())
    await world.ask(ClaimPayment(payment_id, 1, "w"))
    return payment_id


async def _being_refunded(world: World) -> UUID:
    payment_id = await world.payment(await world.account(), _PAID)
    await world.refund(payment_id, 1_000)
    return payment_id


async def _parked(world: World) -> UUID:
    payment_id = await world.payment(await world.account(), _PAID)
    await world.park(payment_id=payment_id)
    return payment_id


@pytest.mark.parametrize("owed", [_open, _unknown, _claimed, _being_refunded, _parked])
async def test_whoever_is_owed_something_keeps_the_month(
    world: World,
    archive: Archive,
    pool: asyncpg.Pool[asyncpg.Record],
    owed: Callable[[World], Awaitable[UUID]],
) -> None:
    """Is named, and nothing leaves; the other months do."""
    payment_id = await owed(world)
    rows = await pool.fetchval(_HISTORY)
    first, *others = await archived(archive)
    assert first.manifest is None
    assert {each.payment_id for each in first.in_use} == {payment_id}
    assert all(each.manifest for each in others)
    assert await pool.fetchval(_HISTORY) == rows
    assert await pool.fetchval("SELECT count(*) FROM payment_events_first") > 0


async def test_a_dispute_keeps_the_month(
    world: World, archive: Archive, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    """While it is open."""
    payment_id = await pool.fetchval("SELECT id FROM payments WHERE status = 'partially_refunded'")
    await pool.execute(_DISPUTED, payment_id)
    first, *_ = await archived(archive)
    assert [each.payment_id for each in first.in_use] == [payment_id]
    await pool.execute("UPDATE disputes SET state = 'won'")
    first, *_ = await archived(archive)
    assert first.manifest is not None
    del world


async def test_what_came_while_it_was_written_is_written_too(
    world: World,
    archive: Archive,
    database: DatabaseAddress,
    pool: asyncpg.Pool[asyncpg.Record],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A refund between the reading and the leaving: what leaves is compared with the files."""
    payment_id = await pool.fetchval("SELECT id FROM payments WHERE status = 'partially_refunded'")
    detach = Archive._detach  # noqa: SLF001 - something happens just before it

    async def late(self: Archive, month: object, manifest: Manifest) -> None:
        await world.refund(payment_id, 1_000, Succeeded("re_2"))
        await detach(self, month, manifest)  # type: ignore[arg-type]  # only passed on

    monkeypatch.setattr(Archive, "_detach", late)
    before = await pool.fetchval(_HISTORY)
    (outcome, *_) = await archived(archive)
    assert outcome.manifest is not None
    assert sum(part.rows for part in outcome.manifest.parts) > before
    assert wrong(await verified(database, archive.directory)) == set()


async def test_who_is_owed_something_at_the_last_moment_keeps_it(
    world: World,
    archive: Archive,
    pool: asyncpg.Pool[asyncpg.Record],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is looked again when nobody can write there any more."""
    payment_id = await pool.fetchval("SELECT id FROM payments WHERE status = 'partially_refunded'")
    detach = Archive._detach  # noqa: SLF001 - something happens just before it

    async def late(self: Archive, month: object, manifest: Manifest) -> None:
        await world.refund(payment_id, 1_000)
        await detach(self, month, manifest)  # type: ignore[arg-type]  # only passed on

    monkeypatch.setattr(Archive, "_detach", late)
    first, *_ = await archived(archive)
    assert [each.payment_id for each in first.in_use] == [payment_id]
    assert await pool.fetchval("SELECT count(*) FROM payment_events_first") > 0
    assert await pool.fetchval("SELECT sum(payment_events) FROM archived_history") == 0


class _PowerCutError(Exception):
    """Nothing that is caught anywhere."""


@pytest.mark.parametrize("at", ["_written", "_detach", "_finish", "_differs"])
@pytest.mark.parametrize("folder", [".", "elsewhere"])
async def test_it_may_break_off_anywhere(  # noqa: PLR0913, PLR0917 - fixtures
    world: World,
    archive: Archive,
    database: DatabaseAddress,
    pool: asyncpg.Pool[asyncpg.Record],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    at: str,
    folder: str,
) -> None:
    """Run again, into the same folder or another, it ends what was begun; nothing was lost."""
    rows = await pool.fetchval(_HISTORY)

    async def cut(*_: object) -> None:
        raise _PowerCutError

    with monkeypatch.context() as patched:
        patched.setattr(Archive, at, cut)
        with pytest.raises(_PowerCutError):
            await archived(archive)
    assert wrong(await verified(database, None)) == set()
    (tmp_path / folder).mkdir(exist_ok=True)
    again = Archive(archive.pool, archive.reading, tmp_path / folder)
    outcomes = await archived(again)
    assert sum(p.rows for o in outcomes if o.manifest for p in o.manifest.parts) == rows
    assert await pool.fetchval(_HISTORY) == 0
    assert wrong(await verified(database, again.directory)) == set()
    leftovers = await pool.fetchval("SELECT count(*) FROM archived_history WHERE leftovers <> '{}'")
    assert leftovers == 0
    del world


async def test_a_file_that_was_changed_is_named(
    world: World, archive: Archive, database: DatabaseAddress
) -> None:
    """Cut short, forged or gone: none of its month counts, and the month is not checked."""
    await archived(archive)
    manifest = max(
        (manifest for _, manifest in manifests_in(archive.directory)),
        key=lambda each: each.rows_of("attempts"),
    )
    path = archive.directory / manifest.parts[-1].file
    whole = path.read_bytes()
    said = b"".join(zstandard.ZstdDecompressor().read_to_iter(whole))
    forged = zstandard.compress(said.replace(b"stripe", b"paypal"))
    for broken in (whole[:-5], whole[:20] + b"\x00" + whole[21:], b"", forged):
        path.write_bytes(broken)
        assert wrong(await verified(database, archive.directory)) == {("I8", "archive")}
    path.write_bytes(whole)
    assert wrong(await verified(database, archive.directory)) == set()
    for each in archive.directory.glob("history-*.json"):
        each.unlink()
    assert wrong(await verified(database, archive.directory)) == {
        ("I8", "archive"), ("I11", "archive"),
    }  # fmt: skip
    del world


async def test_a_tampered_history_is_found_in_the_files(
    world: World, archive: Archive, database: DatabaseAddress, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    """What the database says now is held against what was archived."""
    account = await world.account()
    assert isinstance(account, Account)
    await archived(archive)
    await pool.execute("UPDATE payments SET last_error_code = 'other' WHERE status = 'failed'")
    assert wrong(await verified(database, archive.directory)) == {("I11", "database")}


_DISPUTED: Final = """
INSERT INTO disputes (
    id, tenant_id, payment_id, provider, reference, kind, amount_minor, currency, state,
    withdrawn_minor, created_at, updated_at, version
) VALUES (
    gen_random_uuid(), 'default', $1, 'stripe', 'dp_1', 'dispute', 100, 'USD', 'open', 0, now(),
    now(), 1
)
"""
