"""What ends an authorization nobody captured: its time runs out, or its provider lets it go.

Either way the hold is released and the payment is cancelled, saying why. Only where we end
it ourselves is the provider told to void: one that let go by itself holds nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from payments.decision import Context, Decision, RefusalCode, Refused, State
from payments.decisions.amend import cancelled, is_expired

if TYPE_CHECKING:
    from payments.commands import ExpireAuthorization
    from payments.outcome import Declined
    from payments.payment import Payment

AUTHORIZATION_EXPIRED: Final = "authorization_expired"


def expire_authorization(
    command: ExpireAuthorization, state: State, at: Context
) -> Decision | Refused:
    """Cancel what was not captured in time; a capture that was asked for before goes on."""
    payment = state.payments.get(command.payment_id)
    if payment is None:
        return Refused(RefusalCode.PAYMENT_NOT_FOUND, f"there is no payment {command.payment_id}")
    if not is_expired(payment, at):
        return Refused(
            RefusalCode.NOT_CLAIMABLE, f"payment {payment.id} has no authorization that expired"
        )
    told = replace(
        payment,
        last_error_code=AUTHORIZATION_EXPIRED,
        last_error="the authorization was not captured in time",
    )
    return cancelled(told, state, at, is_held_there=True)


def lapse(payment: Payment, found: Declined, state: State, at: Context) -> Decision:
    """Cancel what its provider, asked, no longer holds."""
    told = replace(payment, last_error_code=found.code, last_error=found.message)
    return cancelled(told, state, at, is_held_there=False)
