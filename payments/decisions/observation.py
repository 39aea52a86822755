"""What a look at a provider makes of a payment nobody is working on: the books follow the money.

Captures, refunds, disputes and releases that were made there without us are facts, recorded and
published like our own. What cannot be recorded (money there for a payment that ended without,
taken twice, gone) is a contradiction, for a person: one dead letter that names all of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from payments.decision import Context, Decision, State
from payments.decisions.authorization import lapse
from payments.decisions.disputes import follow_dispute
from payments.decisions.found_refunds import follow_refund, refund_of
from payments.decisions.provider_work.payment import PaymentWork
from payments.money import Money
from payments.outcome import CapturedElsewhere, NotFound
from payments.payment import CAPTURED, PaymentStatus
from payments.refund import RefundStatus
from payments.standing import FoundState, Standing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from payments.payment import Payment
    from payments.standing import FoundRefund


def observed(
    payment: Payment, found: Standing | NotFound, state: State, at: Context
) -> tuple[Decision, list[str]]:
    """What follows, all in one, and what contradicts the books and could not be followed."""
    standing = found if isinstance(found, Standing) else Standing(payment_id=None)
    decision, problems = Decision(result=payment), list[str]()
    if payment.awaits_capture:
        decision, problems = _authorization(payment, found, state, at)
        state = state.after(decision)
    elif payment.status in CAPTURED:
        problems += _captures(payment, standing)
        problems += _lost_refunds(payment, standing, state)
    else:
        problems += _money_without_payment(payment, standing)
    if state.payments[payment.id].status in CAPTURED:
        decision, problems = _followed(payment.id, standing, state, at, (decision, problems))
    return decision, problems


def _authorization(
    payment: Payment, found: Standing | NotFound, state: State, at: Context
) -> tuple[Decision, list[str]]:
    nothing = Decision(result=payment)
    if not isinstance(found, Standing):
        return nothing, ["nothing is known of its authorization"]
    if found.captures:
        taken = _sum(payment, found)
        elsewhere = CapturedElsewhere(found.captures[0].reference, taken, is_held=found.is_held)
        decision = PaymentWork(payment, state, at).captured_elsewhere(elsewhere)
        if decision is None:
            return nothing, [f"{taken} was captured, as {elsewhere.reference}"]
        return decision, []
    if found.is_held or found.is_pending:
        return nothing, []
    return lapse(payment, found.why_released or "released", state, at), []


def _followed(
    payment_id: UUID,
    standing: Standing,
    state: State,
    at: Context,
    so_far: tuple[Decision, list[str]],
) -> tuple[Decision, list[str]]:
    """The refunds and the disputes, each seeing what those before it changed."""
    decision, problems = so_far
    steps = (
        # What came back first: it may be what was made again.
        *((follow_refund, each) for each in sorted(standing.refunds, key=_is_over)),
        *((follow_dispute, each) for each in standing.disputes),
    )
    for follow, each in steps:
        step = follow(each, payment_id, state, at)  # type: ignore[operator] # each of its kind
        if isinstance(step, str):
            problems.append(step)
        elif step is not None:
            decision, state = decision.then(step), state.after(step)
    return decision, problems


def _is_over(refund: FoundRefund) -> bool:
    return refund.state is not FoundState.FAILED


def _captures(payment: Payment, standing: Standing) -> Iterator[str]:
    ours = Money(payment.captured_minor, payment.currency)
    if standing.is_held:
        yield "the rest of its authorization is held still"
    if not standing.captures:
        if not standing.is_pending:
            yield "nothing of it was captured"
        return
    if _sum(payment, standing) != ours:
        names = " and ".join(f"{each.amount} as {each.reference}" for each in standing.captures)
        yield f"it was captured {len(standing.captures)} times or otherwise: {names}, here {ours}"


def _lost_refunds(payment: Payment, standing: Standing, state: State) -> Iterator[str]:
    there = [refund_of(each, payment, state) for each in standing.refunds]
    known = {each.id for each in there if each}
    for refund in state.refunds.values():
        is_ours = refund.payment_id == payment.id and refund.status is RefundStatus.COMPLETED
        if is_ours and refund.id not in known:
            yield f"nothing is known of refund {refund.id} as {refund.provider_reference}"


def _money_without_payment(payment: Payment, standing: Standing) -> Iterator[str]:
    kept = _kept_minor(payment, standing)
    if kept:
        names = " and ".join(f"{each.amount} as {each.reference}" for each in standing.captures)
        yield f"it was captured after all: {names}"
    is_unexpected = payment.status is PaymentStatus.CANCELLED or not payment.was_authorized
    if standing.is_held and is_unexpected:
        yield "its amount is held after all"


def _kept_minor(payment: Payment, standing: Standing) -> int:
    """What was taken and not given back there."""
    taken = sum(each.amount.amount_minor for each in standing.captures)
    given_back = sum(
        each.amount.amount_minor
        for each in standing.refunds
        if each.state is FoundState.SUCCEEDED and each.amount.currency == payment.currency
    )
    return taken - given_back


def _sum(payment: Payment, standing: Standing) -> Money:
    """All that was captured; of another currency than the payment's, the first of those."""
    others = [each for each in standing.captures if each.amount.currency != payment.currency]
    if others:
        return others[0].amount
    total = sum(each.amount.amount_minor for each in standing.captures)
    return Money(total, payment.currency)
