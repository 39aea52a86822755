"""A payment's provider work: what it owes, and what each step makes of its state and its hold.

Only what certainly had no effect ever releases a hold; an outcome nobody knows keeps it.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from payments import holds
from payments.attempt import provider_key
from payments.change import changed, work_for
from payments.decision import Context, Decision, State
from payments.decisions.amend import cancelled, owing
from payments.decisions.authorization import AUTHORIZATION_EXPIRED
from payments.decisions.provider_work.work import Doubt, Step
from payments.events import EventType
from payments.money import Money
from payments.outcome import Operation
from payments.payment import CAPTURED, TERMINAL, Payment, PaymentStatus
from payments.record import Struct, replace

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from payments.outcome import CapturedElsewhere, Failure
    from payments.progress import Progress

STAGE: Final = "charge"
_EVENTS: Final[Mapping[Step, EventType]] = {
    Step.CLAIMED: EventType.ATTEMPT_STARTED,
    Step.WAITING: EventType.RETRY_SCHEDULED,
    Step.WOKEN: EventType.WOKEN,
    Step.UNKNOWN: EventType.PAYMENT_UNKNOWN,
    Step.IN_REVIEW: EventType.PAYMENT_REVIEW,
}
_STATUSES: Final[Mapping[Step, PaymentStatus]] = {
    Step.UNKNOWN: PaymentStatus.UNKNOWN,
    Step.IN_REVIEW: PaymentStatus.REVIEW,
}
_DOUBTS: Final[Mapping[PaymentStatus, Doubt]] = {
    PaymentStatus.UNKNOWN: Doubt.OPEN,
    PaymentStatus.REVIEW: Doubt.IN_REVIEW,
}


class PaymentWork(Struct, frozen=True):
    """What a payment owes: a charge or an authorization, a capture, or a void."""

    payment: Payment
    state: State
    at: Context
    stage: str = STAGE
    refund: None = None

    @property
    def operation(self) -> Operation | None:
        return self.payment.operation

    @property
    def owed(self) -> Money:
        assert self.payment.operation_minor is not None, "an operation has an amount"
        return Money(self.payment.operation_minor, self.payment.currency)

    @property
    def progress(self) -> Progress:
        """As the payment has it; of another operation than was asked for last, nothing is known."""
        payment, progress = self.payment, self.payment.progress
        if payment.operation is payment.asked_operation:
            return progress
        if payment.asked_operation is None and progress.attempt_count:
            # Claimed by a release that kept no such time.
            return replace(progress, first_asked_at=payment.created_at)
        return progress.unasked()

    @property
    def provider_key(self) -> str:
        """One an operation; a capture asked for again after a failed one may be of another sum."""
        payment = self.payment
        assert payment.operation is not None, "only what is owed is asked for"
        key = provider_key(payment.operation, payment.id)
        if payment.operation is Operation.CAPTURE:
            return f"{key}-{payment.operation_minor}"
        return key

    @property
    def doubt(self) -> Doubt:
        return _DOUBTS.get(self.payment.status, Doubt.NONE)

    @property
    def has_ended(self) -> bool:
        return self.payment.status in TERMINAL

    @property
    def blocked_by(self) -> UUID | None:
        return self.payment.charge_blocked_by

    def with_progress(self, progress: Progress) -> PaymentWork:
        return replace(self, payment=replace(self.payment, progress=progress))

    def with_error(self, error: Failure) -> PaymentWork:
        """What went wrong last; but why a payment ends is not hidden by its void's troubles."""
        is_expiry = self.payment.last_error_code == AUTHORIZATION_EXPIRED
        if self.has_ended or (self.operation is Operation.VOID and is_expiry):
            return self
        told = replace(self.payment, last_error_code=error.code, last_error=error.message)
        return replace(self, payment=told)

    def found(self, amount: Money) -> PaymentWork:
        return replace(self, payment=replace(self.payment, operation_minor=amount.amount_minor))

    def stepped(self, step: Step, progress: Progress) -> Decision:
        payment = self.payment
        status = _STATUSES.get(step, payment.status)
        asked = payment.asked_operation
        if step is Step.CLAIMED:
            asked = payment.operation
            if status is PaymentStatus.PENDING:
                status = PaymentStatus.PROCESSING
        after = replace(payment, status=status, progress=progress, asked_operation=asked)
        return self._changed(after, _EVENTS[step])

    def succeeded(self, reference: str) -> Decision:
        """Charged or captured: the hold is posted. Authorized: it is the client's turn."""
        payment = replace(self.payment, provider_reference=reference)
        match payment.operation:
            case Operation.CHARGE | Operation.CAPTURE:
                return self._completed(payment, self.owed, EventType.PAYMENT_COMPLETED)
            case Operation.AUTHORIZE:
                until = self.at.now + timedelta(seconds=self.at.policy.authorization_ttl_s)
                authorized = replace(payment, authorization_expires_at=until).left_to_client()
                return self._changed(authorized, EventType.PAYMENT_AUTHORIZED)
            case _ if self.has_ended:
                return self._changed(payment.owed_nothing(), EventType.VOIDED)
            case _:
                if payment.last_error_code != AUTHORIZATION_EXPIRED:
                    payment = replace(payment, last_error_code=None, last_error=None)
                return cancelled(payment, self.state, self.at)

    def is_booked(self, found: CapturedElsewhere) -> bool:
        """Whether just that was captured here."""
        payment = self.payment
        captured = Money(payment.captured_minor, self.currency)
        return payment.status in CAPTURED and found.amount == captured

    def captured_elsewhere(self, found: CapturedElsewhere) -> Decision | None:
        """All of the authorization is settled by it: so much is posted, the rest released.

        What the provider still holds it is told to let go.
        """
        payment, taken = self.payment, found.amount
        if self.is_booked(found):
            return self._changed(payment.owed_nothing(), EventType.VOIDED)
        is_part = taken.currency == self.currency and 0 < taken.amount_minor <= self._held_minor
        if not is_part or payment.operation is Operation.CHARGE:
            return None
        known = replace(payment, provider_reference=found.reference)
        decision = self._completed(known, taken, EventType.PAYMENT_CAPTURED_ELSEWHERE)
        if not found.is_held:
            return decision
        (completed,), (event,) = decision.payments, decision.events
        owed = owing(completed, Operation.VOID, payment.amount, self.at)
        event = replace(event, payment=owed)
        work = work_for(owed, self.at, event)
        return replace(decision, result=owed, payments=(owed,), events=(event,), work=(work,))

    def declined(self, *, is_released: bool = False) -> Decision:
        """Nothing is held there, so nothing is here; but a capture leaves its authorization."""
        match self.payment.operation:
            case Operation.CAPTURE if not is_released:
                left = self.payment.left_to_client()
                return self._changed(left, EventType.PAYMENT_CAPTURE_FAILED)
            case Operation.VOID:
                return self._changed(self.payment.left_to_client(), EventType.PAYMENT_AUTHORIZED)
            case _:
                moved = holds.void(self.payment, self.state, self.at)
                failed = replace(self.payment.owed_nothing(), status=PaymentStatus.FAILED)
                decision = self._changed(failed, EventType.PAYMENT_FAILED)
                return replace(decision, accounts=moved.accounts, transfers=(moved.transfer,))

    def given_up(self) -> Decision:
        """What has ended owes nothing any more, whatever its provider made of that."""
        if self.has_ended:
            return self._changed(self.payment.owed_nothing(), EventType.RETRY_SCHEDULED)
        return self.declined()

    def contradiction(self, succeeded: Operation, reference: str) -> str | None:
        """Money there that is not here, or there twice."""
        payment = self.payment
        is_voided = payment.operation is Operation.VOID and not self.has_ended
        if payment.provider is None or is_voided:
            return None  # the void will be told of it
        if contradicts(payment, succeeded):
            return f"{succeeded.value} succeeded after all, as {reference}"
        is_taking = succeeded in {Operation.CHARGE, Operation.CAPTURE}
        if is_taking and reference != payment.provider_reference:
            return f"{succeeded.value} succeeded as {payment.provider_reference} and {reference}"
        return None

    @property
    def currency(self) -> str:
        """The payment's."""
        return self.payment.currency

    @property
    def _held_minor(self) -> int:
        """What is held for it here: all of it, until it ends."""
        return 0 if self.has_ended else self.payment.amount.amount_minor

    def _completed(self, payment: Payment, taken: Money, what: EventType) -> Decision:
        moved = holds.post(payment, taken.amount_minor, self.state, self.at)
        completed = replace(
            payment.owed_nothing(),
            status=PaymentStatus.COMPLETED,
            captured_minor=taken.amount_minor,
            last_error_code=None,
            last_error=None,
            completed_at=max(self.at.now, payment.updated_at),
        )
        return replace(
            self._changed(completed, what),
            accounts=moved.accounts,
            transfers=(moved.transfer,),
            account_events=holds.balance_facts(moved, self.at),
        )

    def _changed(self, payment: Payment, what: EventType) -> Decision:
        change = changed(payment, what, self.at)
        return Decision(result=change.payment, payments=(change.payment,), events=(change.event,))


def contradicts(payment: Payment, succeeded: Operation) -> bool:
    """Whether the provider holds or has money for a payment that says otherwise."""
    match succeeded:
        case Operation.CHARGE | Operation.CAPTURE:
            return payment.status not in CAPTURED
        case Operation.AUTHORIZE:
            # Whose authorization we knew of has been voided since, or is about to be.
            return payment.status is PaymentStatus.FAILED and not payment.was_authorized
        case _:
            return False
