"""Plays the charge and refund stages: claims what is owed and settles it, through the committer."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from payments.commands import ClaimPayment, ClaimRefund, SettlePayment, SettleRefund
from payments.dead_letter import SourceMessage
from payments.decision import Claimed
from payments.outcome import Outcome, Succeeded
from payments.payment import Payment
from payments.refund import Refund
from store.group_commit import Submission

if TYPE_CHECKING:
    from store.group_commit import GroupCommitter

SUCCEEDED = Succeeded("pi_1")
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
