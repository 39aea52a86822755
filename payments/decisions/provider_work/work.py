"""What the machine asks of a payment or a refund that owes its provider something.

What each step means for the one or the other stands in `payment.py` and `refund.py`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, Self

from payments.attempt import AttemptName

if TYPE_CHECKING:
    from uuid import UUID

    from payments.decision import Decision
    from payments.money import Money
    from payments.outcome import CapturedElsewhere, Failure, Operation
    from payments.payment import Payment
    from payments.progress import Progress
    from payments.refund import Refund


class Doubt(StrEnum):
    """Whether an earlier attempt's outcome is open, and whose turn it is then."""

    NONE = "none"
    OPEN = "open"
    IN_REVIEW = "in_review"


class Step(StrEnum):
    """A step that ends nothing: the work goes on, or waits."""

    CLAIMED = "claimed"
    WAITING = "waiting"
    WOKEN = "woken"
    UNKNOWN = "unknown"
    IN_REVIEW = "in_review"


class ProviderWork(Protocol):
    """A payment or a refund: what it owes its provider, and how each step is recorded.

    The methods that return a `Decision` return the whole of it: the entity after the step with
    its version raised, the events that say so, the money that moves.
    """

    @property
    def stage(self) -> str:
        """The stage that does this work."""
        ...

    @property
    def payment(self) -> Payment: ...

    @property
    def refund(self) -> Refund | None: ...

    @property
    def operation(self) -> Operation | None:
        """What the provider is owed now; None when nothing is."""
        ...

    @property
    def owed(self) -> Money:
        """Of how much, while something is owed."""
        ...

    @property
    def progress(self) -> Progress:
        """How far it was asked for what is owed."""
        ...

    @property
    def provider_key(self) -> str:
        """The idempotency key of what is owed, the same for every try."""
        ...

    @property
    def doubt(self) -> Doubt:
        """What is known of the outcome of earlier attempts."""
        ...

    @property
    def has_ended(self) -> bool:
        """Whether it has ended for everybody, and its provider is owed the rest."""
        ...

    @property
    def blocked_by(self) -> UUID | None:
        """The dead letter its messages wait behind."""
        ...

    def with_progress(self, progress: Progress) -> Self:
        """The same, so far."""
        ...

    def with_error(self, error: Failure) -> Self:
        """The same, with what went wrong last."""
        ...

    def found(self, amount: Money) -> Self:
        """The same, owing as much as was found at the provider."""
        ...

    def stepped(self, step: Step, progress: Progress) -> Decision:
        """The step, taken; nothing has ended."""
        ...

    def succeeded(self, reference: str) -> Decision:
        """What was owed is done."""
        ...

    def is_booked(self, found: CapturedElsewhere) -> bool:
        """Whether just that was captured here."""
        ...

    def captured_elsewhere(self, found: CapturedElsewhere) -> Decision | None:
        """Somebody else took the money; None where that cannot be what was authorized."""
        ...

    def declined(self, *, is_released: bool = False) -> Decision:
        """Certainly nothing was done, and nothing will be."""
        ...

    def given_up(self) -> Decision:
        """Certainly nothing was done, as often as it was tried."""
        ...

    def contradiction(self, succeeded: Operation, reference: str) -> str | None:
        """What is wrong if `succeeded` was done as `reference`, though this is closed."""
        ...


def attempt_of(work: ProviderWork, attempt_id: UUID) -> AttemptName:
    """The attempt of that id, as one at this."""
    return AttemptName(work.payment.id, work.refund.id if work.refund else None, attempt_id)


def name_of(work: ProviderWork) -> str:
    """What a person calls it."""
    return f"refund {work.refund.id}" if work.refund else f"payment {work.payment.id}"
