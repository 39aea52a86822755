"""Random lives of payments beside a model of a bank and an honest provider.

Messages are delivered late, twice or never, workers die, requests arrive after their
senders gave up, answers are lost, operators redrive and resolve. At the provider's dashboard
somebody captures, voids and refunds; banks send refunds back, payers dispute; its notifications
may be lost. After every step the books balance, and once everybody is patient every payment comes
to its end: as it stands at the provider, or with a letter that says what is different.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import timedelta
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, TypeVar, assert_never
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from payments.commands import (
    CancelPayment,
    CapturePayment,
    ClaimPayment,
    ClaimRefund,
    DiscardDeadLetter,
    ExpireAuthorization,
    NotifyPayment,
    NotifyRefund,
    ObservePayment,
    RedriveDeadLetter,
    RefundPayment,
    SettlePayment,
    SettleRefund,
    WakePayment,
    WakeRefund,
)
from payments.dead_letter import DeadLetterReason, DeadLetterState
from payments.decision import Claimed, Decision, Refused
from payments.events import EventType, Work
from payments.ledger import TransactionType, TransferState
from payments.notification import NotificationEffect, NotificationTaken, Reported
from payments.outcome import Deferred, Outcome, Retriable, Unknown
from payments.payment import (
    CAPTURED,
    OPEN,
    TERMINAL,
    CaptureMethod,
    Payment,
    PaymentStatus,
)
from payments.progress import Policy
from payments.refund import Refund, RefundStatus
from payments.resolution import ResolvePayment
from tests.support import factories
from tests.support.factories import SOURCE, TENANT, pay, transfer, usd
from tests.support.payments.dashboard import Deed, done, verdict_of
from tests.support.payments.desk import Desk, granted
from tests.support.payments.honest_provider import Flight, Held, HonestProvider

if TYPE_CHECKING:
    from collections.abc import Sequence

    from payments.commands import Command
    from payments.money import Money

ItemT = TypeVar("ItemT")
# Which of several, counted from the newest: what just happened is where stories go on.
picks = st.integers(0, 5)
amounts = st.integers(1, 3_000).map(usd)
HELD: Final = frozenset(PaymentStatus) - TERMINAL
NO_ANSWER: Final = Unknown("timeout", "no answer")
NEVER_SENT: Final[tuple[Outcome, ...]] = (
    Retriable("connect", "refused"),
    Deferred("circuit_open", 1.0),
)


class Fate(Enum):
    """What may become of an attempt."""

    ACCEPTED = auto()
    DECLINED = auto()
    ANSWER_LOST = auto()
    REFUSED = auto()
    DEFERRED = auto()
    WORKER_DIED = auto()


class Lives(RuleBasedStateMachine):
    """A few accounts, their payments, and everything that may happen to them."""

    def __init__(self) -> None:
        super().__init__()
        self.desk = Desk(Policy(max_retries=1, max_inquiries=2))
        self.provider = HonestProvider()
        self.opened: dict[UUID, int] = {}
        self.work: list[Work] = []
        self.flights: list[Flight] = []
        self.seen: dict[UUID, Payment] = {}
        self.told_of = 0

    # What happens

    @initialize()
    def open_accounts(self) -> None:
        for minor in (5_000, 3_000):
            self.opened[self.desk.open_account(usd(minor)).id] = minor

    @rule(pick=picks, amount=amounts, method=st.sampled_from(CaptureMethod))
    def accept(self, pick: int, amount: Money, method: CaptureMethod) -> None:
        self._ask(pay(self._account(pick), amount, capture_method=method))

    @rule(pick=picks, amount=amounts)
    def move(self, pick: int, amount: Money) -> None:
        self._ask(transfer(self._account(pick), self._account(pick + 1), amount))

    @precondition(lambda self: self.payments)
    @rule(pick=picks, amount=st.none() | amounts)
    def amend(self, pick: int, amount: Money | None) -> None:
        """What a client may ask of a payment in its state, and often may not."""
        payment_id = _picked(self.payments, pick).id
        self._ask(CapturePayment(TENANT, payment_id, amount))
        self._ask(RefundPayment(TENANT, payment_id, amount))

    @precondition(lambda self: self.payments)
    @rule(pick=picks)
    def cancel(self, pick: int) -> None:
        self._ask(CancelPayment(TENANT, _picked(self.payments, pick).id))

    @precondition(lambda self: self.wanted)
    @rule(pick=picks)
    def deliver(self, pick: int) -> None:
        """A message that asks for what is wanted now."""
        self._claim(_picked(self.wanted, pick))

    @precondition(lambda self: self.work)
    @rule(pick=st.integers(0, 100))
    def deliver_again(self, pick: int) -> None:
        """Any message ever sent, in any order, any number of times."""
        self._claim(_picked(self.work, pick))

    @precondition(lambda self: self.owing)
    @rule(pick=picks, fates=st.lists(st.sampled_from(Fate), min_size=1, max_size=4))
    def attempt(self, pick: int, fates: list[Fate]) -> None:
        """Try what is owed a few times in a row, each time when it is due."""
        payment_id = _picked(self.owing, pick).id
        for fate in fates:
            payment = self.desk.working.payments[payment_id]
            if payment.progress.due_at is None:
                return
            self.desk.now = max(self.desk.now, payment.progress.due_at)
            self._ask(WakePayment(payment_id))
            before = len(self.flights)
            self._claim(self.work[-1])
            for flight in self.flights[before:]:
                self._meet(flight, fate)

    @precondition(lambda self: self.flights)
    @rule(pick=picks, willing=st.booleans(), answered=st.booleans())
    def arrive(self, pick: int, *, willing: bool, answered: bool) -> None:
        """A request reaches the provider, however late; the answer may be lost."""
        flight = _picked(self.flights, pick)
        answer = self.provider.receive(flight, willing=willing)
        self._settle(flight, answer if answered else NO_ANSWER)

    @precondition(lambda self: self.flights)
    @rule(pick=picks, outcome=st.sampled_from(NEVER_SENT))
    def fail_to_send(self, pick: int, outcome: Outcome) -> None:
        """Certainly no effect: this request will not arrive later either."""
        self._never_sent(_picked(self.flights, pick), outcome)

    @rule(seconds=st.sampled_from([10, 200, 100_000]))
    def pass_time(self, seconds: int) -> None:
        """The schedule wakes whatever is due by then; whoever held a lease has lost it."""
        self.desk.now += timedelta(seconds=seconds)
        self._wake()

    @precondition(lambda self: self.payments)
    @rule(pick=picks, said=st.sampled_from(Reported), event=st.integers(1, 20))
    def notify(self, pick: int, said: Reported, event: int) -> None:
        """The provider says something of a payment and a refund: true or not, late or again."""
        told = factories.said(said, f"evt_{event}")
        payment = _picked(self.payments, pick)
        self._hint(NotifyPayment(payment.id, told))
        if self.refunds:
            self._hint(NotifyRefund(_picked(self.refunds, pick).id, told))

    @precondition(lambda self: self.external)
    @rule(pick=picks, deed=st.sampled_from(Deed), amount=st.integers(1, 3_000), told=st.booleans())
    def act_at_the_dashboard(self, pick: int, deed: Deed, amount: int, *, told: bool) -> None:
        """Somebody, or a bank, does something at the provider; its notification may be lost."""
        payment_id = _picked(self.external, pick).id
        done(self.provider, deed, payment_id, amount)
        if told:
            self.told_of += 1
            event = factories.said(Reported.CHANGED, f"evt_deed_{self.told_of}")
            self._hint(NotifyPayment(payment_id, event))

    @precondition(lambda self: self.doubted)
    @rule(pick=picks)
    def resolve(self, pick: int) -> None:
        """An operator looks at the provider, and says what is there."""
        payment = _picked(self.doubted, pick)
        standing = self.provider.look(payment.id)
        self._ask(ResolvePayment(payment.id, "ada", "looked", verdict_of(payment, standing)))

    @precondition(lambda self: self.desk.working.dead_letters)
    @rule(pick=picks, again=st.booleans())
    def close_letter(self, pick: int, *, again: bool) -> None:
        letter = _picked([*self.desk.working.dead_letters.values()], pick)
        if not again and letter.reason is DeadLetterReason.CONTRADICTION:
            return  # it names a difference: nobody closes it who has not ended that
        command = RedriveDeadLetter if again else DiscardDeadLetter
        self._ask(command(letter.id, "ada", "because"))

    # What must hold

    @invariant()
    def the_books_balance(self) -> None:
        """Accounts equal what the payments' states say, and what the ledger adds up to."""
        balance, held = Counter(self.opened), Counter[UUID]()
        for payment in self.payments:
            kept = payment.captured_minor - payment.refunded_minor
            balance[payment.source_account_id] -= kept
            if payment.destination_account_id:
                balance[payment.destination_account_id] += kept
            if payment.status in HELD:
                held[payment.source_account_id] += payment.amount.amount_minor
        folded, pending = self._ledger()
        balance.update(self._owed_by_customers())
        for account in self.desk.working.accounts.values():
            assert account.balance == balance[account.id] == folded[account.id]
            assert account.debits_pending == held[account.id] == pending[account.id]
            assert account.available >= 0
        assert sum(folded.values()) == 0

    @invariant()
    def whoever_is_owed_is_due(self) -> None:
        for payment in self.payments:
            waits = payment.operation is not None or payment.awaits_capture
            assert waits == (payment.progress.due_at is not None)
            assert payment.operation or payment.progress.lease_id is None
        for refund in self.desk.working.refunds.values():
            ended = refund.status in {RefundStatus.COMPLETED, RefundStatus.FAILED}
            assert ended == (refund.progress.due_at is None)

    @invariant()
    def refunds_stay_within_the_captured(self) -> None:
        totals: defaultdict[UUID, Counter[bool]] = defaultdict(Counter)
        for refund in self.desk.working.refunds.values():
            if refund.status is not RefundStatus.FAILED:
                done = refund.status is RefundStatus.COMPLETED
                totals[refund.payment_id][done] += refund.amount.amount_minor
        for payment in self.payments:
            assert payment.refunded_minor == totals[payment.id][True]
            assert payment.refund_pending_minor == totals[payment.id][False]
            assert payment.refundable_minor >= 0

    @invariant()
    def nobody_is_charged_twice(self) -> None:
        """Whatever was redriven, however late requests arrive: one capture is ours at most."""
        for has in self.provider.payments.values():
            assert len(has.captures) <= 1

    def teardown(self) -> None:
        """With a provider that answers everything, every payment comes to its end, as it has it."""
        for _ in range(100):
            self.desk.now += timedelta(days=2)
            self._wake()
            for work in self.wanted:
                self._claim(work)
            for flight in self.flights:
                self._settle(flight, self.provider.receive(flight, willing=True))
            if not self._somebody_waits():
                break
        for payment in self.payments:
            assert payment.status in TERMINAL
        for payment in self.external:
            event = factories.said(Reported.CHANGED, f"evt_last_{payment.id}")
            self._hint(NotifyPayment(payment.id, event))
            self._agrees(self.desk.working.payments[payment.id])
        self.the_books_balance()

    def _agrees(self, payment: Payment) -> None:
        """As it stands at the provider, or an open letter says what is different."""
        has = self.provider.payments.get(payment.id, Held())
        withdrawn = sum(each.amount.amount_minor for each in has.disputes if each.is_withdrawn)
        there = (has.captured_minor, has.refunded_minor, withdrawn, has.is_held)
        here = (payment.captured_minor, payment.refunded_minor, payment.disputed_minor, False)
        assert here == there or self._is_named(payment), (payment, has)

    def _is_named(self, payment: Payment) -> bool:
        return any(
            each.payment_id == payment.id and each.state is DeadLetterState.PARKED
            for each in self.desk.working.dead_letters.values()
        )

    # How

    @property
    def payments(self) -> list[Payment]:
        return [*self.desk.working.payments.values()]

    @property
    def external(self) -> list[Payment]:
        """Those that a provider has, or may have."""
        return [each for each in self.payments if each.provider]

    @property
    def doubted(self) -> list[Payment]:
        """Those that an operator may resolve."""
        return [each for each in self.payments if each.status in OPEN]

    @property
    def refunds(self) -> list[Refund]:
        return [*self.desk.working.refunds.values()]

    @property
    def owing(self) -> list[Payment]:
        """Payments whose provider is owed something."""
        return [each for each in self.payments if each.operation]

    @property
    def wanted(self) -> list[Work]:
        """The messages whose attempt nobody has made yet."""
        return [each for each in self.work if self._is_wanted(each)]

    def _is_wanted(self, work: Work) -> bool:
        subject: Payment | Refund = (
            self.desk.working.refunds[work.refund_id]
            if work.refund_id
            else self.desk.working.payments[work.payment_id]
        )
        progress = subject.progress
        return bool(
            progress.due_at and not progress.lease_id and work.attempt == progress.attempt_count + 1
        )

    def _account(self, pick: int) -> UUID:
        return _picked([*self.opened], pick)

    def _ask(self, command: Command) -> Decision | Refused:
        outcome = self.desk.ask(command)
        if isinstance(outcome, Decision):
            self.work.extend(outcome.work)
            self._check_events(outcome)
        return outcome

    def _check_events(self, decision: Decision) -> None:
        """One version and one event a change, public ones numbered without a gap, no way back."""
        assert [each.payment for each in decision.events] == list(decision.payments)
        for event in decision.events:
            after, before = event.payment, self.seen.get(event.payment.id)
            assert after.version == (before.version if before else 0) + 1
            assert after.sequence == (before.sequence if before else 0) + event.is_public
            if (
                before
                and before.status in TERMINAL
                and event.type is not EventType.PAYMENT_REDRIVEN
            ):
                assert after.status in TERMINAL
                assert (before.status in CAPTURED) == (after.status in CAPTURED)
            self.seen[after.id] = after

    def _claim(self, work: Work) -> None:
        command: Command = (
            ClaimRefund(work.refund_id, work.attempt, "w")
            if work.refund_id
            else ClaimPayment(work.payment_id, work.attempt, "w")
        )
        outcome = self._ask(command)
        if isinstance(outcome, Refused):
            return
        claimed = outcome.result
        assert isinstance(claimed, Claimed)
        owed = (
            claimed.refund.amount.amount_minor
            if claimed.refund
            else claimed.payment.operation_minor
        )
        assert owed is not None
        self.flights.append(Flight(claimed.attempt, owed))

    def _hint(self, command: NotifyPayment | NotifyRefund) -> None:
        """What is doubted is looked at: the provider knows best."""
        outcome = self._ask(command)
        if isinstance(outcome, Refused):
            return
        taken = outcome.result
        assert isinstance(taken, NotificationTaken)
        if taken.effect is NotificationEffect.DOUBTED:
            found = self.provider.look(taken.payment.id)
            granted(
                self._ask(
                    ObservePayment(taken.payment.id, command.event, found, taken.payment.version)
                )
            )

    def _meet(self, flight: Flight, fate: Fate) -> None:
        match fate:
            case Fate.ACCEPTED | Fate.DECLINED:
                self._settle(flight, self.provider.receive(flight, willing=fate is Fate.ACCEPTED))
            case Fate.ANSWER_LOST:
                self.provider.receive(flight, willing=True)
                self._settle(flight, NO_ANSWER)
            case Fate.REFUSED | Fate.DEFERRED:
                self._never_sent(flight, NEVER_SENT[fate is Fate.DEFERRED])
            case Fate.WORKER_DIED:
                return
            case _:
                assert_never(fate)

    def _never_sent(self, flight: Flight, outcome: Outcome) -> None:
        self.flights.remove(flight)
        self._settle(flight, outcome)

    def _settle(self, flight: Flight, outcome: Outcome) -> None:
        """The flight stays: a request whose sender gave up may arrive later, or again."""
        attempt = flight.attempt
        granted(
            self._ask(SettleRefund(attempt.refund_id, attempt.id, outcome, SOURCE))
            if attempt.refund_id
            else self._ask(
                SettlePayment(attempt.payment_id, attempt.id, attempt.operation, outcome, SOURCE)
            )
        )

    def _wake(self) -> None:
        for payment in self.payments:
            self._ask(WakePayment(payment.id))
            self._ask(ExpireAuthorization(payment.id))
        for refund in self.refunds:
            self._ask(WakeRefund(refund.id))

    def _somebody_waits(self) -> bool:
        due = [each.progress.due_at for each in self.payments]
        due += [each.progress.due_at for each in self.refunds]
        return any(due)

    def _ledger(self) -> tuple[Counter[UUID], Counter[UUID]]:
        """Balances and holds, as the rows add up to."""
        folded, pending = Counter[UUID](), Counter[UUID]()
        for decision in self.desk.decided:
            for row in decision.transfers:
                if row.state is TransferState.PENDING:
                    pending[row.debit_account_id] += row.entry.amount_minor
                else:
                    pending[row.debit_account_id] -= row.releases_minor
                if row.state is TransferState.POSTED:
                    folded[row.debit_account_id] -= row.entry.amount_minor
                    folded[row.credit_account_id] += row.entry.amount_minor
        return folded, pending

    def _owed_by_customers(self) -> Counter[UUID]:
        """Refunds that came back and were spent: not the accounts', so somebody else's debt."""
        owed = Counter[UUID]()
        for decision in self.desk.decided:
            for row in decision.transfers:
                is_returned = row.entry.transaction_type is TransactionType.REFUND_RETURNED
                if is_returned and row.debit_account_id not in self.opened:
                    assert row.entry.payment_id is not None
                    payment = self.desk.working.payments[row.entry.payment_id]
                    owed[payment.source_account_id] += row.entry.amount_minor
        return owed


def _picked(several: Sequence[ItemT], pick: int) -> ItemT:
    return several[-1 - pick % len(several)]


TestLives = Lives.TestCase
# A life of 40 steps shows every state.
TestLives.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
