"""The one door: a command, the rows it needs, the circumstances -> a decision or a refusal."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from payments import commands
from payments.decisions import accept, amend, authorization, dead_letter, notification
from payments.decisions.provider_work import payment, refund

if TYPE_CHECKING:
    from payments.decision import Book, Circumstances, Decision, Refused


def decide(  # noqa: C901, PLR0912 - one flat branch a command; a table would lose exhaustiveness
    command: commands.Command, book: Book, at: Circumstances
) -> Decision | Refused:
    """What follows from `command`, given the rows in `book` (all that it `needs()`)."""
    match command:
        case commands.OpenAccount():
            return accept.open_account(command, book, at)
        case commands.CreatePayment():
            return accept.create_payment(command, book, at)
        case commands.CancelPayment():
            return amend.cancel_payment(command, book, at)
        case commands.CapturePayment():
            return amend.capture_payment(command, book, at)
        case commands.RefundPayment():
            return amend.refund_payment(command, book, at)
        case commands.ClaimPayment():
            return payment.claim_payment(command, book, at)
        case commands.SettlePayment():
            return payment.settle_payment(command, book, at)
        case commands.WakePayment():
            return payment.wake_payment(command, book, at)
        case commands.ExpireAuthorization():
            return authorization.expire_authorization(command, book, at)
        case commands.ClaimRefund():
            return refund.claim_refund(command, book, at)
        case commands.SettleRefund():
            return refund.settle_refund(command, book, at)
        case commands.WakeRefund():
            return refund.wake_refund(command, book, at)
        case commands.HintPayment():
            return notification.hint_payment(command, book, at)
        case commands.HintRefund():
            return notification.hint_refund(command, book, at)
        case commands.ConfrontPayment():
            return notification.confront_payment(command, book, at)
        case commands.ConfrontRefund():
            return notification.confront_refund(command, book, at)
        case commands.ParkMessage():
            return dead_letter.park_message(command, book, at)
        case commands.RedriveDeadLetter():
            return dead_letter.redrive_dead_letter(command, book, at)
        case commands.DiscardDeadLetter():
            return dead_letter.discard_dead_letter(command, book, at)
        case _:
            assert_never(command)
