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
from payments.decision import Claimed, Refused, Result
from payments.outcome import Declined, Outcome, Succeeded, Unknown
from payments.payment import Payment
from payments.refund import Refund
from store.write.group_commit import Submission

if TYPE_CHECKING:
    import asyncpg

    from payments.commands import Command
    from store.write.group_commit import GroupCommitter

SUCCEEDED = Succeeded("pi_1")
# Soon enough for who waits, and long enough for others to cancel first.
_PAUSE_SECONDS: Final = 0.05
SOURCE = SourceMessage("payments.charges", 0, 0, b"k", b"{}")


async def settle(
    committer: GroupCommitter, payment_id: str, outcome: Outcome = SUCCEEDED, attempt: int = 1
) -> Payment:
    """The payment after its provider answered so."""
    claim = await claimed(committer, ClaimPayment(UUID(payment_id), attempt, "test"))
    settled = await answered(committer, claim, outcome)
    assert isinstance(settled, Payment), settled
    return settled


async def settle_refund(
    committer: GroupCommitter, refund_id: str, outcome: Outcome = SUCCEEDED
) -> Refund:
    """The refund after its provider answered so."""
    claim = await claimed(committer, ClaimRefund(UUID(refund_id), 1, "test"))
    settled = await answered(committer, claim, outcome)
    assert isinstance(settled, Refund), settled
    return settled


async def claimed(committer: GroupCommitter, command: ClaimPayment | ClaimRefund) -> Claimed:
    """The attempt, which a worker now has."""
    claim = (await committer.submit(Submission(command))).result
    assert isinstance(claim, Claimed), claim
    return claim


async def answered(
    committer: GroupCommitter, claim: Claimed, outcome: Outcome, source: SourceMessage = SOURCE
) -> Result | Refused:
    """What is claimed after its provider answered so; `source` is the message that asked."""
    attempt = claim.attempt
    command: Command = (
        SettleRefund(attempt.refund_id, attempt.id, outcome, source)
        if attempt.refund_id
        else SettlePayment(attempt.payment_id, attempt.id, attempt.operation, outcome, source)
    )
    return (await committer.submit(Submission(command))).result


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
    claim_made = (await committer.submit(Submission(claim))).result
    if isinstance(claim_made, Claimed):
        await answered(committer, claim_made, outcome)
