"""Every situation a payment can be in, each as the commands that lead there.

Situations refine states: a payment that is `authorized` answers differently while a
capture is in flight. The commands are the ones the table of transitions tries.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import UUID

from payments.commands import (
    CancelPayment,
    CapturePayment,
    ClaimPayment,
    ClaimRefund,
    Command,
    ExpireAuthorization,
    NotifyPayment,
    ObservePayment,
    RedriveDeadLetter,
    RefundPayment,
    SettlePayment,
    SettleRefund,
    WakePayment,
)
from payments.money import Money
from payments.notification import Reported
from payments.outcome import (
    CapturedElsewhere,
    Declined,
    Deferred,
    NotFound,
    Operation,
    Outcome,
    Pending,
    Retriable,
    Succeeded,
    Unknown,
    Unresolvable,
)
from payments.payment import CaptureMethod, Payment
from payments.progress import Policy
from payments.refund import Refund
from payments.resolution import Captured, DidNotHappen, Happened, ResolvePayment, Verdict
from payments.standing import (
    DisputeKind,
    DisputeState,
    FoundCapture,
    FoundDispute,
    FoundRefund,
    FoundState,
    Standing,
)
from tests.support.factories import SOURCE, TENANT, pay, said, transfer, usd
from tests.support.payments.desk import Desk, granted

if TYPE_CHECKING:
    from collections.abc import Callable

OUTCOMES: Final[dict[str, Outcome]] = {
    "succeeded": Succeeded("pi_1"),
    "elsewhere": CapturedElsewhere("pi_2", usd(2_000)),
    "elsewhere_held": CapturedElsewhere("pi_2", usd(2_000), is_held=True),
    "declined": Declined("card_declined", "no"),
    "released": Declined("canceled", "no", is_released=True),
    "retriable": Retriable("rate_limited", "later"),
    "deferred": Deferred("circuit_open", 30.0),
    "pending": Pending("pending", "in process"),
    "unknown": Unknown("timeout", "no answer"),
    "unresolvable": Unresolvable("key_window_passed", "nobody can tell"),
}
UNCERTAIN: Final = ("retriable", "deferred", "pending", "unknown", "unresolvable")
# How a payment of 50 USD may be found to stand.
STANDINGS: Final[dict[str, Standing | NotFound | Unknown]] = {
    "nowhere": NotFound(),
    "held": Standing(None, is_held=True),
    "let_go": Standing(None, why_released="abandoned"),
    "captured": Standing(None, captures=(FoundCapture("pi_1", usd(5_000)),)),
    "captured_in_part": Standing(None, captures=(FoundCapture("pi_2", usd(2_000)),)),
    "refunded": Standing(
        None,
        captures=(FoundCapture("pi_1", usd(5_000)),),
        refunds=(FoundRefund("re_9", usd(1_000), FoundState.SUCCEEDED),),
    ),
    "disputed": Standing(
        None,
        captures=(FoundCapture("pi_1", usd(5_000)),),
        disputes=(
            FoundDispute(
                "dp_1", DisputeKind.DISPUTE, usd(5_000), DisputeState.OPEN, is_withdrawn=True
            ),
        ),
    ),
    "undecidable": Unknown("list_too_long", "too many"),
}
# One retry and one inquiry: the second failure is the last.
POLICY: Final = Policy(max_retries=1, max_inquiries=1)
_STRANGER: Final = UUID(int=2**127)

AUTOMATIC: Final = {
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
    "cancelled": "cancel",
    "redriven": "claim declined redrive",
    "partially_refunded": "claim succeeded refund_half",
    "refunded": "claim succeeded refund_half refund_half",
}
MANUAL: Final = {
    "authorized": "claim succeeded",
    "capturing": "claim succeeded capture claim",
    "last_capture": "claim succeeded capture claim retriable wake claim",
    "capture_unknown": "claim succeeded capture claim unknown",
    "voiding": "claim succeeded cancel claim",
    "last_void": "claim succeeded cancel claim retriable wake claim",
    "voided": "claim succeeded cancel claim succeeded",
    "expired": "claim succeeded expire",
    "void_review": "claim succeeded cancel claim retriable wake claim retriable",
    "elsewhere": "claim succeeded cancel claim elsewhere",
    "elsewhere_held": "claim succeeded capture claim elsewhere_held",
}
INTERNAL: Final = {"transferred": "", "returned": "refund_half refund_half"}
SITUATIONS: Final = (*AUTOMATIC, *MANUAL, *INTERNAL)


@dataclass(slots=True)
class Scene:
    """A payment in a situation, and the commands one may try on it."""

    desk: Desk
    payment_id: UUID

    @property
    def payment(self) -> Payment:
        return self.desk.working.payments[self.payment_id]

    def play(self, path: str) -> None:
        for name in path.split():
            if name == "refund_half":
                self._refund_half()
            else:
                granted(self.desk.ask(self.command(name)))

    def command(self, name: str) -> Command:
        """The command of that name; to wake or expire, time passes until the payment is due."""
        if name in {"wake", "expire"} and self.payment.progress.due_at:
            self.desk.now = self.payment.progress.due_at
        return COMMANDS[name](self)

    def settled(self, outcome: Outcome, *, late: bool = False) -> SettlePayment:
        """What the latest attempt brings, or one that lost its lease long ago."""
        attempts = self.desk.attempts_of(self.payment)
        first = Operation.AUTHORIZE if self._is_manual else Operation.CHARGE
        operation = attempts[-1].operation if attempts else first
        attempt_id = attempts[-1].id if attempts and not late else _STRANGER
        key = attempts[-1].provider_key if attempts and not late else None
        return SettlePayment(
            self.payment_id, attempt_id, operation, outcome, SOURCE, provider_key=key
        )

    @property
    def _is_manual(self) -> bool:
        return self.payment.capture_method is CaptureMethod.MANUAL

    def _refund_half(self) -> None:
        half = usd(self.payment.amount.amount_minor // 2)
        refund = granted(self.desk.ask(RefundPayment(TENANT, self.payment_id, half))).result
        assert isinstance(refund, Refund)
        if refund.progress.due_at is None:
            return
        granted(self.desk.ask(ClaimRefund(refund.id, 1, "w")))
        attempt = self.desk.attempts_of(refund)[-1]
        granted(self.desk.ask(SettleRefund(refund.id, attempt.id, Succeeded("re_1"), SOURCE)))


def _settling(outcome: Outcome, *, late: bool = False) -> Callable[[Scene], Command]:
    return lambda scene: scene.settled(outcome, late=late)


def _hinting(what: Reported) -> Callable[[Scene], Command]:
    return lambda scene: NotifyPayment(scene.payment_id, said(what))


def _observing(found: Standing | NotFound | Unknown) -> Callable[[Scene], Command]:
    return lambda scene: ObservePayment(
        scene.payment_id, said(Reported.CHANGED), found, scene.payment.version
    )


def _resolving(scene: Scene, verdict: Verdict) -> Command:
    return ResolvePayment(scene.payment_id, "operator", "looked there", verdict)


def _owed(scene: Scene) -> Money:
    """All that its provider was asked for, or is said to have been."""
    payment = scene.payment
    return Money(payment.operation_minor or payment.amount.amount_minor, payment.currency)


COMMANDS: Final[dict[str, Callable[[Scene], Command]]] = {
    "claim": lambda scene: ClaimPayment(
        scene.payment_id, scene.payment.progress.attempt_count + 1, "w"
    ),
    **{name: _settling(outcome) for name, outcome in OUTCOMES.items()},
    **{
        f"late_{name}": _settling(outcome, late=True)
        for name, outcome in OUTCOMES.items()
        if name not in UNCERTAIN
    },
    "cancel": lambda scene: CancelPayment(TENANT, scene.payment_id),
    "capture": lambda scene: CapturePayment(TENANT, scene.payment_id, None),
    "refund": lambda scene: RefundPayment(TENANT, scene.payment_id, None),
    "wake": lambda scene: WakePayment(scene.payment_id),
    "expire": lambda scene: ExpireAuthorization(scene.payment_id),
    "redrive": lambda scene: RedriveDeadLetter(
        scene.desk.letter_about(scene.payment), "operator", "why not"
    ),
    "resolve_happened": lambda scene: _resolving(scene, Happened(_owed(scene), "pi_9")),
    "resolve_captured": lambda scene: _resolving(scene, Captured(usd(2_000), "pi_9")),
    "resolve_did_not": lambda scene: _resolving(scene, DidNotHappen()),
    **{f"hint_{what.value}": _hinting(what) for what in Reported},
    **{f"observe_{name}": _observing(found) for name, found in STANDINGS.items()},
}


def scene_of(situation: str) -> Scene:
    """A payment of 50 USD in that situation, its payer left with 950."""
    desk = Desk(POLICY)
    payer, payee = desk.open_account(), desk.open_account()
    if situation in INTERNAL:
        wanted, path = transfer(payer.id, payee.id, usd(5_000)), INTERNAL[situation]
    elif situation in MANUAL:
        wanted, path = pay(payer.id, capture_method=CaptureMethod.MANUAL), MANUAL[situation]
    else:
        wanted, path = pay(payer.id), AUTOMATIC[situation]
    payment = granted(desk.ask(wanted)).result
    assert isinstance(payment, Payment)
    scene = Scene(desk, payment.id)
    scene.play(path)
    return scene
