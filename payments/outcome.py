"""What a provider call can end in, split by what the caller may do next.

The difference that matters is between *certainly no effect* (`Declined`,
`Retriable`) and *perhaps an effect* (`Unknown`): only the former may ever release
a hold. `NotFound` is about one instant: a request still under way can take effect
later, so what follows it is the same call under the same key, never a failed
payment. Every value here is an answer; nothing is an exception.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

from payments.record import Struct

if TYPE_CHECKING:
    from payments.money import Money


class Operation(StrEnum):
    """What is asked of a provider for a payment or a refund."""

    CHARGE = "charge"
    AUTHORIZE = "authorize"
    CAPTURE = "capture"
    VOID = "void"
    REFUND = "refund"


# These make something new at the provider; the others are asked of what is there already.
MAKES_A_PAYMENT: Final = frozenset({Operation.CHARGE, Operation.AUTHORIZE})


class Succeeded(Struct, frozen=True):
    """The operation took effect; `reference` names it at the provider.

    For an authorization this is the authorized intent or order, for a charge the
    captured one, for a refund the refund.
    """

    reference: str
    # What else was found to have taken effect for the same payment or refund.
    others: tuple[str, ...] = ()


class CapturedElsewhere(Struct, frozen=True):
    """Somebody else took the money: a void comes too late, or a capture of another amount.

    `amount` is all that was taken of the authorization, `reference` what it can be refunded by.
    `is_held`: the provider holds the rest still.
    """

    reference: str
    amount: Money
    is_held: bool = False


class Declined(Struct, frozen=True):
    """The provider answered no; final, and nothing took effect.

    `is_released`: nor does the provider hold anything any more that was authorized before.
    """

    code: str
    message: str
    is_released: bool = False


class Retriable(Struct, frozen=True):
    """Certainly no effect, and another try may succeed (never sent, 429, 503 before work).

    `retry_after_s` is the provider's own wish in seconds, if it gave one. `is_asked` is
    whether the provider took the request in at all: one it never got, or turned away at
    its door (credentials, rate), leaves nothing to ask after.
    """

    code: str
    message: str
    retry_after_s: float | None = None
    is_asked: bool = True


class Deferred(Struct, frozen=True):
    """Not asked at all (circuit open, no capacity): try again, without burning an attempt."""

    reason: str
    retry_after_s: float


class Unknown(Struct, frozen=True):
    """The request may have taken effect: timeout after sending, reset, 500, unreadable answer."""

    code: str
    message: str


class Pending(Struct, frozen=True):
    """The provider has it and does not know itself yet, perhaps for days: wait, and ask again."""

    code: str
    message: str


class Unresolvable(Struct, frozen=True):
    """Nobody can tell any more whether it took effect, however often it is asked: for a person."""

    code: str
    message: str


class NotFound(Struct, frozen=True):
    """An inquiry's answer: where the provider could be asked, no trace of the operation."""


Outcome = (
    Succeeded
    | CapturedElsewhere
    | Declined
    | Retriable
    | Deferred
    | Pending
    | Unknown
    | Unresolvable
)
Failure = Declined | Retriable | Pending | Unknown | Unresolvable
# What an inquiry found, where it found anything out.
Finding = Succeeded | CapturedElsewhere | Declined | Pending | Unknown | NotFound
InquiryOutcome = Outcome | NotFound


def was_asked(outcome: Outcome) -> bool:
    """Whether the provider may know of the call that ended so."""
    return not isinstance(outcome, Deferred) and not (
        isinstance(outcome, Retriable) and not outcome.is_asked
    )
