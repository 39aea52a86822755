"""What ends an authorization nobody captured: its time runs out, or its provider lets it go.

Either way the payment is cancelled, saying why, and its hold is released; where we end it
ourselves, once the provider has answered the void: until then it may have been captured there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from payments.decision import Context, Decision, RefusalCode, Refused, State
from payments.decisions.amend import cancelled, is_expired, void_requested
from payments.record import replace

if TYPE_CHECKING:
    from payments.commands import ExpireAuthorization
    from payments.payment import Payment

AUTHORIZATION_EXPIRED: Final = "authorization_expired"
AUTHORIZATION_RELEASED: Final = "authorization_released"


def expire_authorization(
    command: ExpireAuthorization, state: State, at: Context
) -> Decision | Refused:
    """Give back what was not captured in time; a capture that was asked for before goes on."""
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
    return void_requested(told, at)


def lapse(payment: Payment, why: str, state: State, at: Context) -> Decision:
    """Cancel what its provider, asked, no longer holds."""
    code = AUTHORIZATION_EXPIRED if why == AUTHORIZATION_EXPIRED else AUTHORIZATION_RELEASED
    told = replace(payment, last_error_code=code, last_error=f"let go by its provider: {why}")
    return cancelled(told, state, at)
