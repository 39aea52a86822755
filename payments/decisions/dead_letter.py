"""What stages and operators ask about dead letters: park a message, redrive, discard.

A letter is parked once however often its message is delivered, and leaves the
queue only signed.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from payments import holds
from payments.change import changed, work_for
from payments.dead_letter import DeadLetter, DeadLetterState
from payments.decision import Context, Decision, RefusalCode, Refused, State
from payments.decisions import dead_letter_queue
from payments.decisions.account_checks import Side, exceeds_turnover, lacks_funds, unusable
from payments.decisions.amend import owing
from payments.decisions.payment_methods import chosen
from payments.decisions.provider_checks import unsupported
from payments.decisions.provider_work.refund import touched
from payments.events import EventType
from payments.operator_action import Action, OperatorAction
from payments.outcome import Operation
from payments.payment import CaptureMethod, Payment, PaymentStatus
from payments.record import replace
from payments.refund import REFUND_OPEN, Refund

if TYPE_CHECKING:
    from datetime import datetime

    from payments.commands import DiscardDeadLetter, ParkMessage, RedriveDeadLetter
    from payments.progress import Progress


def park_message(command: ParkMessage, state: State, at: Context) -> Decision | Refused:
    """A letter for a message; a second delivery changes nothing."""
    known = state.dead_letters.get(command.letter_id)
    if known is not None:
        return Decision(result=known)
    letter = DeadLetter(
        id=command.letter_id,
        tenant_id=command.tenant_id,
        stage=command.stage,
        reason=command.reason,
        error=command.error,
        source=command.source,
        attempts=1,
        first_failed_at=at.now,
        last_failed_at=at.now,
    )
    payment = state.payments.get(command.payment_id) if command.payment_id else None
    return dead_letter_queue.join(letter, payment)


def discard_dead_letter(
    command: DiscardDeadLetter, state: State, at: Context
) -> Decision | Refused:
    """Close a parked letter, signed; what waited for nothing else is sent."""
    letter = _parked(command, state)
    if isinstance(letter, Refused):
        return letter
    discarded = dead_letter_queue.discard(letter, command, state, at)
    return replace(discarded, actions=(_action(Action.DISCARD, letter, command, at),))


def redrive_dead_letter(
    command: RedriveDeadLetter, state: State, at: Context
) -> Decision | Refused:
    """Try again: the message as it came, or the payment or refund it was about."""
    letter = _parked(command, state)
    if isinstance(letter, Refused):
        return letter
    again = _again(letter, command, state, at)
    if isinstance(again, Refused):
        return again
    return replace(again, actions=(_action(Action.REDRIVE, letter, command, at),))


def _again(
    letter: DeadLetter, command: RedriveDeadLetter, state: State, at: Context
) -> Decision | Refused:
    closed = dead_letter_queue.signed(letter, command, DeadLetterState.REDRIVEN, at)
    again: Decision | Refused
    if letter.refund_id:
        again = _ask_about_refund(state.refunds[letter.refund_id], at)
    elif letter.payment_id:
        again = _redrive_payment(state.payments[letter.payment_id], state, at)
    else:
        return dead_letter_queue.redrive(letter, command, state, at)
    if isinstance(again, Refused):
        return again
    return replace(again, result=closed, dead_letters=(closed,))


def _redrive_payment(payment: Payment, state: State, at: Context) -> Decision | Refused:
    patience = at.now + timedelta(seconds=at.policy.patience_s)
    match payment.status:
        case PaymentStatus.UNKNOWN | PaymentStatus.REVIEW:
            asked = replace(payment, progress=_asked_anew(payment.progress, patience))
            return _sent(asked, EventType.WOKEN, at)
        case PaymentStatus.FAILED if not payment.was_authorized:
            return _charge_again(payment, state, at)
        case PaymentStatus.CANCELLED | PaymentStatus.FAILED if (
            payment.provider_reference and not payment.operation
        ):
            # Its void was given up; one that is void already stays so at the provider.
            return _sent(owing(payment, Operation.VOID, payment.amount, at), EventType.WOKEN, at)
        case _:
            return Refused(
                RefusalCode.DEAD_LETTER_NOT_REDRIVABLE,
                f"payment {payment.id} is {payment.status.value}: there is nothing to try again",
                payment,
            )


def _asked_anew(progress: Progress, until: datetime) -> Progress:
    """As if nobody had asked yet what became of it: a fruitless answer is told again."""
    return replace(progress.waiting(until), inquiry_count=0)


def _charge_again(payment: Payment, state: State, at: Context) -> Decision | Refused:
    """From the start, with a new hold: the old one was released when the payment failed."""
    source = state.accounts[payment.source_account_id]
    manual = payment.capture_method is CaptureMethod.MANUAL
    operation = Operation.AUTHORIZE if manual else Operation.CHARGE
    method = chosen(payment.method_named, payment.provider, source.id, state, at)
    refused = (
        unusable(source, payment.amount)
        or unsupported(payment.provider, operation, payment.amount, at)
        or (method if isinstance(method, Refused) else None)
        or lacks_funds(source, payment.amount)
        or exceeds_turnover(source, payment.amount, by=Side.DEBIT)
    )
    if refused is not None:
        return refused
    pending = replace(
        owing(payment, operation, payment.amount, at),
        status=PaymentStatus.PENDING,
        hold_id=at.new_id(),
    )
    moved = holds.reserve(pending, source, at)
    sent = _sent(replace(pending, hold_id=moved.transfer.entry.id), EventType.PAYMENT_REDRIVEN, at)
    return replace(sent, accounts=moved.accounts, transfers=(moved.transfer,))


def _ask_about_refund(refund: Refund, at: Context) -> Decision | Refused:
    if refund.status not in REFUND_OPEN:
        return Refused(
            RefusalCode.DEAD_LETTER_NOT_REDRIVABLE,
            f"refund {refund.id} is {refund.status.value}: ask for a new refund instead",
        )
    patience = at.now + timedelta(seconds=at.policy.patience_s)
    asked = touched(replace(refund, progress=_asked_anew(refund.progress, patience)), at)
    return Decision(result=asked, refunds=(asked,), work=(work_for(asked, at),))


def _sent(payment: Payment, what: EventType, at: Context) -> Decision:
    change = changed(payment, what, at)
    return Decision(
        result=change.payment,
        payments=(change.payment,),
        events=(change.event,),
        work=(work_for(change.payment, at, change.event),),
    )


def _action(
    action: Action, letter: DeadLetter, command: RedriveDeadLetter | DiscardDeadLetter, at: Context
) -> OperatorAction:
    return OperatorAction(
        id=at.new_id(),
        tenant_id=letter.tenant_id,
        actor=command.actor,
        reason=command.reason,
        action=action,
        payment_id=letter.payment_id or letter.queued_for,
        refund_id=letter.refund_id,
        detail={
            "dead_letter": str(letter.id),
            "stage": letter.stage,
            "parked_for": letter.reason.value,
        },
        recorded_at=at.now,
    )


def _parked(command: RedriveDeadLetter | DiscardDeadLetter, state: State) -> DeadLetter | Refused:
    letter = state.dead_letters.get(command.letter_id)
    if letter is None or command.tenant_id not in {None, letter.tenant_id}:
        return Refused(
            RefusalCode.DEAD_LETTER_NOT_FOUND, f"there is no dead letter {command.letter_id}"
        )
    if letter.state is not DeadLetterState.PARKED:
        return Refused(
            RefusalCode.DEAD_LETTER_NOT_PARKED,
            f"dead letter {letter.id} was {letter.state.value} by {letter.resolved_by}",
            letter,
        )
    return letter
