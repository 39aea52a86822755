"""What a commit counts of provider work it counts for the stage whose work it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from payments.account import Account
from payments.commands import ClaimPayment, ClaimRefund, RefundPayment, WakePayment, WakeRefund
from payments.outcome import Deferred, Retriable, Succeeded
from payments.payment import Payment
from payments.progress import Policy
from payments.refund import Refund
from store.write.context import live
from store.write.group_commit import GroupCommitter, Submission
from tests.support.api.stage import answered, claimed
from tests.support.factories import TENANT, open_account, pay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import asyncpg

    from payments.outcome import Outcome
    from telemetry.metrics import Metrics

DONE = Succeeded("re_1")
# Whoever claims is given up at once.
NO_LEASE = Policy(lease_s=0)
NOT_DONE = [(Retriable("busy", "later"), "busy"), (Deferred("circuit_open", 1), "deferred")]


@pytest.fixture
async def committer(
    pool: asyncpg.Pool[asyncpg.Record], metrics: Metrics
) -> AsyncIterator[GroupCommitter]:
    async with GroupCommitter(pool, live(NO_LEASE), metrics) as opened:
        yield opened


@pytest.mark.parametrize(("outcome", "reason"), NOT_DONE)
async def test_a_retry_of_a_payment_is_the_charge_stages(
    committer: GroupCommitter, metrics: Metrics, outcome: Outcome, reason: str
) -> None:
    payment = await _payment(committer)
    await answered(committer, await claimed(committer, ClaimPayment(payment.id, 1, "w")), outcome)
    assert _counted(metrics, "retries_scheduled") == {("charge", reason): 1}


@pytest.mark.parametrize(("outcome", "reason"), NOT_DONE)
async def test_a_retry_of_a_refund_is_the_refund_stages(
    committer: GroupCommitter, metrics: Metrics, outcome: Outcome, reason: str
) -> None:
    refund = await _refund(committer)
    await answered(committer, await claimed(committer, ClaimRefund(refund.id, 1, "w")), outcome)
    assert _counted(metrics, "retries_scheduled") == {("refund", reason): 1}


async def test_a_lease_of_a_payment_runs_out_at_the_charge_stage(
    committer: GroupCommitter, metrics: Metrics
) -> None:
    payment = await _payment(committer)
    await claimed(committer, ClaimPayment(payment.id, 1, "w"))
    await committer.submit(Submission(WakePayment(payment.id)))
    assert _counted(metrics, "lease_expiries") == {("charge",): 1}


async def test_a_lease_of_a_refund_runs_out_at_the_refund_stage(
    committer: GroupCommitter, metrics: Metrics
) -> None:
    """The first time its payment says so in public, and any later time nobody does."""
    refund = await _refund(committer)
    for attempt in (1, 2):
        await claimed(committer, ClaimRefund(refund.id, attempt, "w"))
        await committer.submit(Submission(WakeRefund(refund.id)))
    assert _counted(metrics, "lease_expiries") == {("refund",): 2}


async def _payment(committer: GroupCommitter) -> Payment:
    account = (await committer.submit(Submission(open_account()))).result
    assert isinstance(account, Account)
    payment = (await committer.submit(Submission(pay(account.id)))).result
    assert isinstance(payment, Payment)
    return payment


async def _refund(committer: GroupCommitter) -> Refund:
    payment = await _payment(committer)
    await answered(committer, await claimed(committer, ClaimPayment(payment.id, 1, "w")), DONE)
    refund = (await committer.submit(Submission(RefundPayment(TENANT, payment.id, None)))).result
    assert isinstance(refund, Refund)
    return refund


def _counted(metrics: Metrics, name: str) -> dict[tuple[str, ...], float]:
    """The samples of a counter of the stages, by its labels."""
    return {
        tuple(sample.labels.values()): sample.value
        for family in metrics.registry.collect()
        if family.name == f"payments_stage_{name}"
        for sample in family.samples
        if sample.name.endswith("_total")
    }
