"""Every situation a refund can be in, each as the commands that lead there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import UUID

from payments.commands import (
    ClaimRefund,
    Command,
    NotifyRefund,
    RedriveDeadLetter,
    RefundPayment,
    SettleRefund,
    WakeRefund,
)
from payments.notification import Reported
from payments.payment import Payment
from payments.refund import Refund
from payments.resolution import DidNotHappen, Happened, ResolveRefund
from tests.support.factories import SOURCE, TENANT, said, usd
from tests.support.payments.desk import Desk, granted
from tests.support.payments.payment_paths import OUTCOMES, UNCERTAIN, scene_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from payments.outcome import Outcome

_STRANGER: Final = UUID(int=2**127)

PATHS: Final = {
    "pending": "",
    "processing": "claim",
    "retrying": "claim retriable",
    "last_try": "claim retriable wake claim",
    "unknown": "claim unknown",
    "inquiring": "claim unknown wake claim",
    "review": "claim unknown wake claim unknown",
    "reviewing": "claim unknown wake claim unknown wake claim",
    "completed": "claim succeeded",
    "failed": "claim declined",
}


@dataclass(slots=True)
class RefundScene:
    """A refund in a situation, and the commands one may try on it."""

    desk: Desk
    refund_id: UUID

    @property
    def refund(self) -> Refund:
        return self.desk.working.refunds[self.refund_id]

    @property
    def payment(self) -> Payment:
        return self.desk.working.payments[self.refund.payment_id]

    def command(self, name: str) -> Command:
        """The command of that name; to wake, time passes until the refund is due."""
        if name == "wake" and self.refund.progress.due_at:
            self.desk.now = self.refund.progress.due_at
        return COMMANDS[name](self)

    def settled(self, outcome: Outcome, *, late: bool = False) -> SettleRefund:
        """What the latest attempt brings, or one that lost its lease long ago."""
        attempts = self.desk.attempts_of(self.refund)
        attempt_id = attempts[-1].id if attempts and not late else _STRANGER
        return SettleRefund(self.refund_id, attempt_id, outcome, SOURCE)


def _settling(outcome: Outcome, *, late: bool = False) -> Callable[[RefundScene], Command]:
    return lambda scene: scene.settled(outcome, late=late)


COMMANDS: Final[dict[str, Callable[[RefundScene], Command]]] = {
    "claim": lambda scene: ClaimRefund(
        scene.refund_id, scene.refund.progress.attempt_count + 1, "w"
    ),
    **{name: _settling(outcome) for name, outcome in OUTCOMES.items()},
    **{
        f"late_{name}": _settling(outcome, late=True)
        for name, outcome in OUTCOMES.items()
        if name not in UNCERTAIN
    },
    "wake": lambda scene: WakeRefund(scene.refund_id),
    "redrive": lambda scene: RedriveDeadLetter(
        scene.desk.letter_about(scene.refund), "operator", "why not"
    ),
    "resolve_happened": lambda scene: ResolveRefund(
        scene.refund_id, "operator", "looked there", Happened(scene.refund.amount, "re_9")
    ),
    "resolve_did_not": lambda scene: ResolveRefund(
        scene.refund_id, "operator", "looked there", DidNotHappen()
    ),
    "hint_done": lambda scene: NotifyRefund(scene.refund_id, said(Reported.DONE)),
    "hint_not_done": lambda scene: NotifyRefund(scene.refund_id, said(Reported.NOT_DONE)),
}


def refund_scene_of(situation: str) -> RefundScene:
    """A refund of 20 USD of a payment of 50, in that situation."""
    paid = scene_of("completed")
    refund = granted(paid.desk.ask(RefundPayment(TENANT, paid.payment_id, usd(2_000)))).result
    assert isinstance(refund, Refund)
    scene = RefundScene(paid.desk, refund.id)
    for name in PATHS[situation].split():
        granted(scene.desk.ask(scene.command(name)))
    return scene
