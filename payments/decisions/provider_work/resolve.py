"""An operator ends a doubt: what was found at the provider is recorded as its answer would be.

Only while nobody knows the outcome, and not while a worker may be asking for it. A worker's
answer that comes afterwards and says otherwise is a contradiction (`machine.settle`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from payments import holds
from payments.attempt import lease_expired
from payments.dead_letter import DeadLetterReason, DeadLetterState
from payments.decision import Context, Decision, RefusalCode, Refused, State
from payments.decisions.dead_letter_queue import signed
from payments.decisions.provider_work.work import Doubt, attempt_of, name_of
from payments.operator_action import Action, OperatorAction
from payments.outcome import CapturedElsewhere, Declined, Operation
from payments.record import replace
from payments.resolution import Captured, DidNotHappen, Happened

if TYPE_CHECKING:
    from payments.dead_letter import DeadLetter
    from payments.decisions.provider_work.work import ProviderWork
    from payments.money import Money
    from payments.resolution import ResolvePayment, ResolveRefund, Verdict

_OUTCOMES: Final = {Happened: "succeeded", Captured: "captured", DidNotHappen: "failed"}
# What clients are told; the operator's own reason is for operators.
_NOT_DONE: Final = Declined("resolved_failed", "the provider was found not to have done it")


def resolve(
    work: ProviderWork, command: ResolvePayment | ResolveRefund, state: State, at: Context
) -> Decision | Refused:
    """What follows from the verdict, with the letters about the doubt closed by the same hand."""
    refused = _not_resolvable(work, at) or _malformed(work, command.verdict, at)
    if refused is not None:
        return refused
    ended = _ended(work, command.verdict)
    if isinstance(ended, Refused):
        return ended
    letters = _letters_about(work, state)
    lease_id = work.progress.lease_id
    closed = (signed(each, command, DeadLetterState.DISCARDED, at) for each in letters)
    return replace(
        ended,
        attempt_results=(lease_expired(attempt_of(work, lease_id), at.now),) if lease_id else (),
        dead_letters=tuple(closed),
        actions=(_action(work, command, letters, at),),
    )


def _not_resolvable(work: ProviderWork, at: Context) -> Refused | None:
    subject, until = work.refund or work.payment, work.progress.due_at
    if work.doubt is Doubt.NONE:
        code = RefusalCode.PAYMENT_NOT_RESOLVABLE
        if work.refund:
            code = RefusalCode.REFUND_NOT_RESOLVABLE
        why = f"{name_of(work)} is {subject.status.value}: there is no doubt to resolve"
        return Refused(code, why, subject)
    if work.progress.lease_id and until and until > at.now:
        # Its answer may be on its way, and is better than a verdict.
        why = f"a worker asks about {name_of(work)} now, until {until:%H:%M:%S} UTC at the latest"
        return Refused(RefusalCode.ATTEMPT_IN_FLIGHT, f"{why}; try again in a moment", subject)
    return None


def _malformed(work: ProviderWork, found: Verdict, at: Context) -> Refused | None:
    """A charge is captured and refunded by its reference, which must be of the provider's form."""
    form = at.references.get(holds.provider_of(work.payment))
    if work.refund or form is None or isinstance(found, DidNotHappen):
        return None
    if re.fullmatch(form, found.reference):
        return None
    return Refused(
        RefusalCode.REFERENCE_MALFORMED,
        f"{found.reference!r} is no reference of {holds.provider_of(work.payment)}: {form}",
    )


def _not_as_asked(work: ProviderWork, found: Money) -> Refused | None:
    """A charge, an authorization and a refund are whole; of a capture less may have been taken."""
    asked, authorized = work.owed, work.payment.amount
    if found.currency != asked.currency:
        return Refused(
            RefusalCode.CURRENCY_MISMATCH,
            f"{found} was found, but {name_of(work)} is in {asked.currency}",
        )
    if work.operation is Operation.CAPTURE:
        if 0 < found.amount_minor <= authorized.amount_minor:
            return None
        why = f"{found} was found, but of {name_of(work)} at most {authorized} can be captured"
        return Refused(RefusalCode.AMOUNT_MISMATCH, why)
    if found == asked:
        return None
    why = f"{found} was found, but {asked} was asked for with {name_of(work)}"
    return Refused(RefusalCode.AMOUNT_MISMATCH, why)


def _ended(work: ProviderWork, verdict: Verdict) -> Decision | Refused:
    if isinstance(verdict, DidNotHappen):
        return work.with_error(_NOT_DONE).declined()
    amount, reference = verdict.amount, verdict.reference
    if isinstance(verdict, Happened) or work.operation is Operation.CHARGE:
        return _not_as_asked(work, amount) or work.found(amount).succeeded(reference)
    why = f"{amount} was found, which cannot have been captured of {name_of(work)}"
    return work.captured_elsewhere(CapturedElsewhere(reference, amount)) or Refused(
        RefusalCode.AMOUNT_MISMATCH, why
    )


def _letters_about(work: ProviderWork, state: State) -> list[DeadLetter]:
    """Those that ask a person for what has now been found out."""
    about = (work.payment.id, work.refund.id if work.refund else None)
    return [
        each
        for each in state.dead_letters.values()
        if (each.payment_id, each.refund_id) == about
        and each.reason is DeadLetterReason.OUTCOME_UNRESOLVED
        and each.state is DeadLetterState.PARKED
    ]


def _action(
    work: ProviderWork,
    command: ResolvePayment | ResolveRefund,
    letters: list[DeadLetter],
    at: Context,
) -> OperatorAction:
    subject, verdict = work.refund or work.payment, command.verdict
    detail: dict[str, object] = {
        "status_before": subject.status.value,
        "operation": work.operation,
        "outcome": _OUTCOMES[type(verdict)],
        "dead_letters": [str(each.id) for each in letters],
    }
    if not isinstance(verdict, DidNotHappen):
        detail["amount_minor"] = verdict.amount.amount_minor
        detail["currency"] = verdict.amount.currency
        detail["provider_reference"] = verdict.reference
    return OperatorAction(
        id=at.new_id(),
        tenant_id=subject.tenant_id,
        actor=command.actor,
        reason=command.reason,
        action=Action.RESOLVE,
        payment_id=work.payment.id,
        refund_id=work.refund.id if work.refund else None,
        detail=detail,
        recorded_at=at.now,
    )
