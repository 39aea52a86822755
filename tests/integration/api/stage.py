"""Plays the charge and refund stages: claims what is owed and settles it, through the committer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import cycle
from typing import TYPE_CHECKING, Final
from uuid import UUID

from payments.commands import ClaimPayment, ClaimRefund, SettlePayment, SettleRefund
from payments.dead_letter import SourceMessage
from payments.decision import Claimed
from payments.outcome import Declined, Outcome, Succeeded, Unknown
from payments.payment import Payment
from payments.refund import Refund
from store.group_commit import Submission

if TYPE_CHECKING:
    import asyncpg

    from store.group_commit import GroupCommitter

SUCCEEDED = Succeeded("pi_1")
# Soon enough for who waits, and long enough for others to cancel first.
_PAUSE_SECONDS: Final = 0.05
_SOURCE = SourceMessage("payments.charges", 0, 0, b"k", b"{}")


async def settle(
    committer: GroupCommitter, payment_id: str, outcome: Outcome = SUCCEEDED, attempt: int = 1
) -> Payment:
    """The payment after its provider answered so."""
    claim = ClaimPayment(UUID(payment_id), attempt, "test")
    claimed = (await committer.submit(Submission(claim))).result
    assert isinstance(claimed, Claimed), claimed
    command = SettlePayment(
        UUID(payment_id), claimed.attempt.id, claimed.attempt.operation, outcome, _SOURCE
    )
    settled = (await committer.submit(Submission(command))).result
    assert isinstance(settled, Payment), settled
    return settled


async def settle_refund(
    committer: GroupCommitter, refund_id: str, outcome: Outcome = SUCCEEDED
) -> Refund:
    """The refund after its provider answered so."""
    claimed = (await committer.submit(Submission(ClaimRefund(UUID(refund_id), 1, "test")))).result
    assert isinstance(claimed, Claimed), claimed
    command = SettleRefund(UUID(refund_id), claimed.attempt.id, outcome, _SOURCE)
    settled = (await committer.submit(Submission(command))).result
    assert isinstance(settled, Refund), settled
    return settled


_OUTCOMES: Final = (SUCCEEDED, SUCCEEDED, Declined("no", "No."), SUCCEEDED, Unknown("lost", "?"))


@asynccontextmanager
async def settling(
    committer: GroupCommitter, pool: asyncpg.Pool[asyncpg.Record]
) -> AsyncIterator[None]:
    """While the context is open, whatever is owed is settled, this way or that."""
    async with asyncio.TaskGroup() as tasks:
        work = tasks.create_task(_settle_all(committer, pool))
        yield
        work.cancel()


# With the next attempt's number; what has no lease waits for a stage, or for its time.
_OWED: Final = """
SELECT id, attempt_count + 1, true FROM payments
WHERE
    lease_id IS NULL AND due_at IS NOT NULL
    AND (due_at <= now() OR status IN ('pending', 'authorized'))
UNION ALL
SELECT id, attempt_count + 1, false FROM refunds
WHERE lease_id IS NULL AND (due_at <= now() OR status = 'pending')
"""


async def _settle_all(committer: GroupCommitter, pool: asyncpg.Pool[asyncpg.Record]) -> None:
    outcomes: Iterator[Outcome] = cycle(_OUTCOMES)
    while True:
        for subject, attempt, is_payment in await pool.fetch(_OWED):
            claim = ClaimPayment if is_payment else ClaimRefund
            await _try(committer, claim(subject, attempt, "test"), next(outcomes))
        await asyncio.sleep(_PAUSE_SECONDS)


async def _try(
    committer: GroupCommitter, claim: ClaimPayment | ClaimRefund, outcome: Outcome
) -> None:
    """Settle what is claimed; what somebody cancelled meanwhile is not there to claim."""
    claimed = (await committer.submit(Submission(claim))).result
    if not isinstance(claimed, Claimed):
        return
    attempt = claimed.attempt
    settle: SettlePayment | SettleRefund
    if claimed.refund is not None:
        settle = SettleRefund(claimed.refund.id, attempt.id, outcome, _SOURCE)
    else:
        settle = SettlePayment(claimed.payment.id, attempt.id, attempt.operation, outcome, _SOURCE)
    await committer.submit(Submission(settle))
