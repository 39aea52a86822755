"""Plays the charge and refund stages: claims what is owed and settles it, through the committer."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from payments.commands import ClaimPayment, ClaimRefund, SettlePayment, SettleRefund
from payments.dead_letter import SourceMessage
from payments.decision import Claimed, Refused, Result
from payments.outcome import Outcome, Succeeded
from payments.payment import Payment
from payments.refund import Refund
from store.group_commit import Submission

if TYPE_CHECKING:
    from payments.commands import Command
    from store.group_commit import GroupCommitter

SUCCEEDED = Succeeded("pi_1")
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
