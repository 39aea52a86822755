"""Which payment or refund a stage, the schedule or an operator speaks of, and what they ask."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from payments.commands import (
    ClaimPayment,
    ClaimRefund,
    ProviderWorkCommand,
    SettlePayment,
    SettleRefund,
    WakePayment,
    WakeRefund,
)
from payments.decision import Context, Decision, RefusalCode, Refused, State
from payments.decisions.provider_work import machine
from payments.decisions.provider_work.payment import PaymentWork
from payments.decisions.provider_work.refund import RefundWork
from payments.decisions.provider_work.resolve import resolve
from payments.resolution import ResolvePayment, ResolveRefund

if TYPE_CHECKING:
    from payments.payment import Payment
    from payments.refund import Refund


def decide_provider_work(
    command: ProviderWorkCommand, state: State, at: Context
) -> Decision | Refused:
    """What follows from a claim, a settlement, a wake or a verdict."""
    work = _work(command, state, at)
    if isinstance(work, Refused):
        return work
    match command:
        case ClaimPayment() | ClaimRefund():
            return machine.claim(work, command, at)
        case SettlePayment() | SettleRefund():
            return machine.settle(work, command, at)
        case WakePayment() | WakeRefund():
            return machine.wake(work, at)
        case ResolvePayment() | ResolveRefund():
            return resolve(work, command, state, at)
        case _:
            assert_never(command)


def _work(
    command: ProviderWorkCommand, state: State, at: Context
) -> PaymentWork | RefundWork | Refused:
    if isinstance(command, ClaimPayment | SettlePayment | WakePayment | ResolvePayment):
        payment = state.payments.get(command.payment_id)
        if payment is None or _is_anothers(command, payment):
            what = f"there is no payment {command.payment_id}"
            return Refused(RefusalCode.PAYMENT_NOT_FOUND, what)
        return PaymentWork(payment, state, at)
    refund = state.refunds.get(command.refund_id)
    if refund is None or _is_anothers(command, refund):
        return Refused(RefusalCode.REFUND_NOT_FOUND, f"there is no refund {command.refund_id}")
    return RefundWork(state.payments[refund.payment_id], refund, state, at)


def _is_anothers(command: ProviderWorkCommand, subject: Payment | Refund) -> bool:
    """Whether it belongs to another tenant than the operator; stages work for all."""
    return isinstance(command, ResolvePayment | ResolveRefund) and (
        command.tenant_id not in {None, subject.tenant_id}
    )
