"""The one door: a command, the rows it needs, the circumstances -> a decision or a refusal."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from payments import accept, amend, charging, commands, expiry, hinting, parking, refunding

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
            return charging.claim_payment(command, book, at)
        case commands.SettlePayment():
            return charging.settle_payment(command, book, at)
        case commands.WakePayment():
            return charging.wake_payment(command, book, at)
        case commands.ExpireAuthorization():
            return expiry.expire_authorization(command, book, at)
        case commands.ClaimRefund():
            return refunding.claim_refund(command, book, at)
        case commands.SettleRefund():
            return refunding.settle_refund(command, book, at)
        case commands.WakeRefund():
            return refunding.wake_refund(command, book, at)
        case commands.HintPayment():
            return hinting.hint_payment(command, book, at)
        case commands.HintRefund():
            return hinting.hint_refund(command, book, at)
        case commands.ConfrontPayment():
            return hinting.confront_payment(command, book, at)
        case commands.ConfrontRefund():
            return hinting.confront_refund(command, book, at)
        case commands.ParkMessage():
            return parking.park_message(command, book, at)
        case commands.RedriveDeadLetter():
            return parking.redrive_dead_letter(command, book, at)
        case commands.DiscardDeadLetter():
            return parking.discard_dead_letter(command, book, at)
        case _:
            assert_never(command)
