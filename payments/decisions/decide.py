"""The one door: a command, the rows it needs, the context -> a decision or a refusal."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from payments import commands, resolution, webhook_endpoint
from payments.decisions import (
    accept,
    amend,
    authorization,
    dead_letter,
    notification,
    payment_methods,
)
from payments.decisions.provider_work.decide import decide_provider_work
from payments.decisions.webhook_endpoints import decide_webhook

if TYPE_CHECKING:
    from payments.decision import Context, Decision, Refused, State


def decide(  # noqa: C901, PLR0912 - one flat branch a command; a table would lose exhaustiveness
    command: commands.Command, state: State, at: Context
) -> Decision | Refused:
    """What follows from `command`, given the rows in `state` (all that it `needs()`)."""
    match command:
        case commands.OpenAccount():
            return accept.open_account(command, state, at)
        case commands.AttachPaymentMethod():
            return payment_methods.attach_payment_method(command, state, at)
        case commands.DetachPaymentMethod():
            return payment_methods.detach_payment_method(command, state, at)
        case commands.CreatePayment():
            return accept.create_payment(command, state, at)
        case commands.CancelPayment():
            return amend.cancel_payment(command, state, at)
        case commands.CapturePayment():
            return amend.capture_payment(command, state, at)
        case commands.RefundPayment():
            return amend.refund_payment(command, state, at)
        case (
            commands.ClaimPayment()
            | commands.SettlePayment()
            | commands.WakePayment()
            | resolution.ResolvePayment()
            | commands.ClaimRefund()
            | commands.SettleRefund()
            | commands.WakeRefund()
            | resolution.ResolveRefund()
        ):
            return decide_provider_work(command, state, at)
        case commands.ExpireAuthorization():
            return authorization.expire_authorization(command, state, at)
        case commands.NotifyPayment():
            return notification.notify_payment(command, state, at)
        case commands.NotifyRefund():
            return notification.notify_refund(command, state, at)
        case commands.ObservePayment():
            return notification.observe_payment(command, state, at)
        case commands.ParkMessage():
            return dead_letter.park_message(command, state, at)
        case commands.RedriveDeadLetter():
            return dead_letter.redrive_dead_letter(command, state, at)
        case commands.DiscardDeadLetter():
            return dead_letter.discard_dead_letter(command, state, at)
        case (
            webhook_endpoint.CreateWebhookEndpoint()
            | webhook_endpoint.ChangeWebhookEndpoint()
            | webhook_endpoint.DeleteWebhookEndpoint()
            | webhook_endpoint.RotateWebhookSecret()
            | webhook_endpoint.SendTestEvent()
            | webhook_endpoint.ReplayDeliveries()
            | webhook_endpoint.DisableWebhookEndpoint()
        ):
            return decide_webhook(command, state, at)
        case _:
            assert_never(command)
