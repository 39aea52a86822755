"""A refund's provider work: what each step makes of its state and of its payment's promise.

The amount was promised when the refund was accepted; it is given back when the
provider has, and returned to what may be refunded when it certainly has not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from payments import holds, ledger
from payments.attempt import provider_key
from payments.change import changed
from payments.decision import Context, Decision, State
from payments.decisions.amend import refunded
from payments.decisions.provider_work.work import Doubt, Step
from payments.events import EventType
from payments.outcome import Operation
from payments.record import Struct, replace
from payments.refund import Refund, RefundStatus

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from payments.money import Money
    from payments.outcome import CapturedElsewhere, Failure
    from payments.payment import Payment
    from payments.progress import Progress

STAGE: Final = "refund"
# The public facts of its payment; a refund's other steps are nobody's but its own.
_EVENTS: Final[Mapping[Step, EventType]] = {
    Step.UNKNOWN: EventType.REFUND_UNKNOWN,
    Step.IN_REVIEW: EventType.REFUND_REVIEW,
}
_STATUSES: Final[Mapping[Step, RefundStatus]] = {
    Step.UNKNOWN: RefundStatus.UNKNOWN,
    Step.IN_REVIEW: RefundStatus.REVIEW,
}
_DOUBTS: Final[Mapping[RefundStatus, Doubt]] = {
    RefundStatus.UNKNOWN: Doubt.OPEN,
    RefundStatus.REVIEW: Doubt.IN_REVIEW,
}


class RefundWork(Struct, frozen=True):
    """What a refund owes until it has ended: its amount, given back."""

    payment: Payment
    refund: Refund
    state: State
    at: Context
    stage: str = STAGE

    @property
    def operation(self) -> Operation | None:
        return Operation.REFUND if self.refund.progress.due_at else None

    @property
    def owed(self) -> Money:
        return self.refund.amount

    @property
    def progress(self) -> Progress:
        return self.refund.progress

    @property
    def provider_key(self) -> str:
        return provider_key(Operation.REFUND, self.refund.id)

    @property
    def doubt(self) -> Doubt:
        return _DOUBTS.get(self.refund.status, Doubt.NONE)

    @property
    def has_ended(self) -> bool:
        return False

    @property
    def blocked_by(self) -> UUID | None:
        return self.payment.refund_blocked_by

    def with_progress(self, progress: Progress) -> RefundWork:
        return replace(self, refund=replace(self.refund, progress=progress))

    def with_error(self, error: Failure) -> RefundWork:
        told = replace(self.refund, last_error_code=error.code, last_error=error.message)
        return replace(self, refund=told)

    def found(self, amount: Money) -> RefundWork:  # noqa: ARG002 - a refund is whole
        return self

    def stepped(self, step: Step, progress: Progress) -> Decision:
        """The refund after the step; its payment says so where that is a public fact."""
        status = _STATUSES.get(step, self.refund.status)
        if step is Step.CLAIMED and status is RefundStatus.PENDING:
            status = RefundStatus.PROCESSING
        after = touched(replace(self.refund, status=status, progress=progress), self.at)
        if step not in _EVENTS:
            return Decision(result=after, refunds=(after,))
        return self._announced(self.payment, after, _EVENTS[step])

    def succeeded(self, reference: str) -> Decision:
        """The money is the customer's again."""
        payment, amount_minor = self.payment, self.refund.amount.amount_minor
        done = touched(
            replace(
                self.refund,
                status=RefundStatus.COMPLETED,
                provider_reference=reference,
                progress=self.refund.progress.settled(),
                last_error_code=None,
                last_error=None,
                completed_at=max(self.at.now, self.refund.updated_at),
            ),
            self.at,
        )
        entry = ledger.Entry(
            id=self.at.new_id(),
            amount_minor=amount_minor,
            transaction_type=ledger.TransactionType.REFUND,
            recorded_at=self.at.now,
            description=done.reason,
            payment_id=payment.id,
            refund_id=done.id,
        )
        customer = self.state.accounts[payment.source_account_id]
        moved = ledger.transfer(holds.clearing_of(payment), customer, entry)
        given_back = refunded(self._without_promise(), amount_minor)
        return replace(
            self._announced(given_back, done, EventType.REFUND_COMPLETED),
            accounts=moved.accounts,
            transfers=(moved.transfer,),
            account_events=holds.balance_facts(moved, self.at),
        )

    def is_booked(self, found: CapturedElsewhere) -> bool:  # noqa: ARG002 - it gives back
        """Never."""
        return False

    def captured_elsewhere(self, found: CapturedElsewhere) -> None:  # noqa: ARG002 - it gives back
        return None

    def declined(self, *, is_released: bool = False) -> Decision:  # noqa: ARG002 - nothing is held
        """The amount may be refunded again."""
        ended = replace(
            self.refund, status=RefundStatus.FAILED, progress=self.refund.progress.settled()
        )
        failed = touched(ended, self.at)
        return self._announced(self._without_promise(), failed, EventType.REFUND_FAILED)

    def given_up(self) -> Decision:
        return self.declined()

    def contradiction(self, succeeded: Operation, reference: str) -> str | None:
        """Money given back there that was not here, or there twice."""
        if self.refund.status is RefundStatus.FAILED:
            return f"{succeeded.value} succeeded after all, as {reference}"
        if reference != self.refund.provider_reference:
            known = self.refund.provider_reference
            return f"{succeeded.value} succeeded as {known} and {reference}"
        return None

    def _without_promise(self) -> Payment:
        promised = self.payment.refund_pending_minor - self.refund.amount.amount_minor
        return replace(self.payment, refund_pending_minor=promised)

    def _announced(self, payment: Payment, refund: Refund, what: EventType) -> Decision:
        change = changed(payment, what, self.at, refund=refund)
        return Decision(
            result=refund, payments=(change.payment,), refunds=(refund,), events=(change.event,)
        )


def touched(refund: Refund, at: Context) -> Refund:
    """The refund as its next version."""
    updated_at = max(at.now, refund.updated_at)
    return replace(refund, version=refund.version + 1, updated_at=updated_at)
