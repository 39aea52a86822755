"""Our side of a settlement report: whatever moved in its period, however long ago it was begun."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import pytest

from payments.account import Account
from payments.commands import (
    CapturePayment,
    ClaimPayment,
    ClaimRefund,
    RefundPayment,
    SettlePayment,
    SettleRefund,
)
from payments.decision import Claimed, Refused
from payments.outcome import Succeeded
from payments.payment import CaptureMethod, Payment
from payments.reconciliation.differences import (
    BookEntry,
    BreakType,
    Kind,
    Period,
    Reconciliation,
)
from payments.refund import Refund
from store.queries import bound
from store.read import reconciliation
from store.read.id_ranges import FIRST_ID, LAST_ID
from store.read.reconciliation import entries_of
from store.write.group_commit import GroupCommitter, Submission
from tests.support.factories import SOURCE, STRIPE, TENANT, open_account, pay, usd
from tests.support.store.books import late_by

if TYPE_CHECKING:
    import asyncpg

    from payments.commands import Command
    from payments.decision import Result
    from telemetry.metrics import Metrics

_LONG_AGO: Final = timedelta(days=5)
_NOW: Final = datetime.now(UTC)
# What is settled now is not within the margin of its end.
_THREE_DAYS: Final = Period(_NOW - timedelta(days=3), _NOW + timedelta(hours=1))


async def _did(committer: GroupCommitter, command: Command) -> Result:
    result = (await committer.submit(Submission(command))).result
    assert not isinstance(result, Refused), result
    return result


async def _payment(committer: GroupCommitter, capture_method: CaptureMethod) -> Payment:
    """One whose provider has answered: authorized, or charged."""
    account = await _did(committer, open_account())
    assert isinstance(account, Account)
    payment = await _did(committer, pay(account.id, capture_method=capture_method))
    assert isinstance(payment, Payment)
    return await _settled(committer, payment, 1)


async def _settled(committer: GroupCommitter, payment: Payment, attempt: int) -> Payment:
    claim = await _did(committer, ClaimPayment(payment.id, attempt, "w"))
    assert isinstance(claim, Claimed)
    made = claim.attempt
    settle = SettlePayment(payment.id, made.id, made.operation, Succeeded("pi_1"), SOURCE)
    settled = await _did(committer, settle)
    assert isinstance(settled, Payment)
    return settled


async def _given_back(committer: GroupCommitter, refund: Refund) -> None:
    claim = await _did(committer, ClaimRefund(refund.id, 1, "w"))
    assert isinstance(claim, Claimed)
    await _did(committer, SettleRefund(refund.id, claim.attempt.id, Succeeded("re_1"), SOURCE))


async def _entries(pool: asyncpg.Pool[asyncpg.Record], period: Period) -> list[BookEntry]:
    async with pool.acquire() as connection:
        return await entries_of(connection, STRIPE, period, ())


async def test_a_capture_long_after_its_payment_was_made_is_missed(
    pool: asyncpg.Pool[asyncpg.Record], committer: GroupCommitter, metrics: Metrics
) -> None:
    """In the report of the days in which it was captured, and in that of the days before not."""
    async with GroupCommitter(pool, late_by(_LONG_AGO), metrics) as then:
        payment = await _payment(then, CaptureMethod.MANUAL)
    await _did(committer, CapturePayment(TENANT, payment.id, None))
    await _settled(committer, payment, 2)
    entries = await _entries(pool, _THREE_DAYS)
    (missing,) = Reconciliation(STRIPE, _THREE_DAYS).breaks(entries, ())
    assert (missing.type, missing.payment_id) == (BreakType.MISSING_THERE, payment.id)
    before = Period(_NOW - timedelta(days=7), _THREE_DAYS.start)
    assert await _entries(pool, before) == []


async def test_a_refund_made_long_after_it_was_promised_is_missed(
    pool: asyncpg.Pool[asyncpg.Record], committer: GroupCommitter, metrics: Metrics
) -> None:
    """As the capture of a payment is; the charge it gives back stood in an older report."""
    async with GroupCommitter(pool, late_by(_LONG_AGO), metrics) as then:
        payment = await _payment(then, CaptureMethod.AUTOMATIC)
        refund = await _did(then, RefundPayment(TENANT, payment.id, usd(1_000)))
        assert isinstance(refund, Refund)
    await _given_back(committer, refund)
    entries = await _entries(pool, _THREE_DAYS)
    (missing,) = Reconciliation(STRIPE, _THREE_DAYS).breaks(entries, ())
    assert (missing.type, missing.refund_id) == (BreakType.MISSING_THERE, refund.id)


async def test_a_period_is_read_in_pages_that_leave_nobody_out(
    pool: asyncpg.Pool[asyncpg.Record], committer: GroupCommitter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of one moment too, wherever a page ends among them."""
    monkeypatch.setattr(reconciliation, "_PAGE", 2)
    payments = [await _payment(committer, CaptureMethod.AUTOMATIC) for _ in range(5)]
    for payment in payments:
        refund = await _did(committer, RefundPayment(TENANT, payment.id, usd(1_000)))
        assert isinstance(refund, Refund)
        await _given_back(committer, refund)
    await pool.execute("UPDATE payments SET completed_at = $1", _NOW)
    await pool.execute("UPDATE refunds SET completed_at = $1", _NOW)
    entries = await _entries(pool, _THREE_DAYS)
    assert len({entry.key for entry in entries}) == len(entries) == 10
    assert {entry.id for entry in entries if entry.kind is Kind.CHARGE} == {
        payment.id for payment in payments
    }


_PAGE: Final = {"provider": STRIPE, "before": _THREE_DAYS.end, "statuses": ["completed"]}


@pytest.mark.parametrize(
    ("kind", "arguments", "index", "bounds"),
    [
        (
            "payments",
            {"since": _THREE_DAYS.start, "after_id": FIRST_ID, "before_id": LAST_ID},
            "ledger_transfers_pkey",
            ("id >", "id <"),
        ),
        (
            "refunds",
            {"after_time": _THREE_DAYS.start, "after_id": FIRST_ID},
            "refunds_by_settlement",
            ("provider =", "ROW(completed_at, id) >", "<"),
        ),
    ],
)
async def test_a_page_of_a_period_costs_what_it_shows(
    pool: asyncpg.Pool[asyncpg.Record],
    kind: str,
    arguments: dict[str, object],
    index: str,
    bounds: tuple[str, ...],
) -> None:
    """The index gives the period and its order: no statement reads all there ever was."""
    text, *ordered = bound(f"settled_{kind}_between", **_PAGE, **arguments, rows_max=2)
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL enable_sort = off")
        await connection.execute("SET LOCAL enable_bitmapscan = off")
        rows = await connection.fetch(f"EXPLAIN {text}", *ordered)
    plan = "\n".join(row[0] for row in rows)
    assert f"Index Scan using {index}" in plan, plan
    assert "Sort" not in plan, plan
    condition = next(line for line in plan.splitlines() if "Index Cond" in line)
    assert all(each in condition for each in bounds)
