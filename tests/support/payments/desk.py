"""A desk where commands are decided one after the other, for tests of decisions alone.

The state is the store's own working set, so what a decision leaves behind is what the
next one of a batch would see. Time stands still unless a test moves it; ids count up.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING
from uuid import UUID

from payments.account import Account
from payments.attempt import Attempt
from payments.commands import Command
from payments.dead_letter import DeadLetterReason, letter_about
from payments.decision import Context, Decision, Refused
from payments.decisions.decide import decide
from payments.progress import Policy
from store.write.batch import Working
from tests.support.factories import SOURCE, open_account
from topics.contracts import channels

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from payments.money import Money
    from payments.payment import Payment
    from payments.provider_rules import ProviderRules
    from payments.refund import Refund

START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Desk:
    """Decides, remembers the rows, and keeps everything that was decided."""

    policy: Policy = field(default_factory=Policy)
    now: datetime = START
    jitter: float = 0.0
    references: Mapping[str, str] = field(default_factory=dict)
    rules: Mapping[str, ProviderRules] = field(default_factory=dict)
    working: Working = field(default_factory=Working)
    decided: list[Decision] = field(default_factory=list)
    _ids: Iterator[int] = field(default_factory=lambda: count(1))

    def new_id(self) -> UUID:
        return UUID(int=next(self._ids))

    def context(self) -> Context:
        return Context(
            self.now,
            self.new_id,
            self.jitter,
            self.policy,
            channels.WORK,
            self.references,
            self.rules,
        )

    def ask(self, command: Command) -> Decision | Refused:
        outcome = decide(command, self.working.state(), self.context())
        if isinstance(outcome, Decision):
            self.working.apply(outcome)
            self.decided.append(outcome)
        return outcome

    def open_account(self, balance: Money | None = None) -> Account:
        """A customer with 1,000 USD unless said."""
        account = granted(self.ask(open_account(balance))).result
        assert isinstance(account, Account)
        return account

    def attempts_of(self, subject: Payment | Refund) -> list[Attempt]:
        """Its attempts, oldest first."""
        return [
            each
            for decision in self.decided
            for each in decision.attempts
            if (each.refund_id or each.payment_id) == subject.id
        ]

    def letter_about(self, subject: Payment | Refund) -> UUID:
        """Park a letter about it, as a stage does that gives up."""
        letter = letter_about(
            subject, "charge", DeadLetterReason.RETRIES_EXHAUSTED, "no", SOURCE, self.now
        )
        self.working.dead_letters[letter.id] = letter
        return letter.id


def granted(outcome: Decision | Refused) -> Decision:
    """The decision, where a refusal would be a mistake of the test."""
    assert isinstance(outcome, Decision), outcome
    return outcome
