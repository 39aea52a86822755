"""The queue behind a dead letter: a payment's messages to a stage keep their order.

While a message of a payment is parked, the later ones to the same stage are parked behind it.
They leave together: sent again in the order of their topic, in one decision. What cannot be
read now or later can only be discarded, and until then lets nothing behind it pass.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, NoReturn

from payments.dead_letter import DeadLetter, DeadLetterReason, DeadLetterState
from payments.decision import Context, Decision, RefusalCode, Refused, State
from payments.decisions.provider_work import payment as charging
from payments.decisions.provider_work import refund as refunding
from payments.events import Republication
from payments.record import replace

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from payments.commands import DiscardDeadLetter, RedriveDeadLetter
    from payments.payment import Payment
    from payments.resolution import ResolvePayment, ResolveRefund

# The bytes came through a decoder, or will once the reader has learned them.
_SENDABLE: Final = frozenset(
    {
        DeadLetterReason.UNKNOWN_TYPE,
        DeadLetterReason.UNKNOWN_SUBJECT,
        DeadLetterReason.HANDLER_ERROR,
        DeadLetterReason.WAITS_BEHIND,
    }
)
# The stages whose messages are a payment's work.
_STAGES: Final = frozenset({charging.STAGE, refunding.STAGE})


def join(letter: DeadLetter, payment: Payment | None) -> Decision | Refused:
    """Park the letter of a message of `payment`, at the end of its queue.

    Refused when it was to wait and nothing is in its way any more: its message is due.
    """
    if payment is None or letter.stage not in _STAGES:
        return Decision(result=letter, dead_letters=(letter,))
    in_the_way = _blocked_by(payment, letter.stage)
    if letter.reason is DeadLetterReason.WAITS_BEHIND and in_the_way is None:
        return Refused(
            RefusalCode.DEAD_LETTER_NOT_FOUND, f"no dead letter is in the way of {payment.id}"
        )
    # Whoever is kept waiting must see why: it is theirs, whatever the message said.
    letter = replace(
        letter, tenant_id=payment.tenant_id, queued_for=payment.id, waits_behind=in_the_way
    )
    blocked = () if in_the_way else (_blocking(payment, letter.stage, letter.id),)
    return Decision(result=letter, dead_letters=(letter,), blocked=blocked)


def discard(letter: DeadLetter, command: DiscardDeadLetter, state: State, at: Context) -> Decision:
    """Close a letter, and send what waited for no other."""
    closed = signed(letter, command, DeadLetterState.DISCARDED, at)
    left = [each for each in _queue(letter, state) if each.id != letter.id]
    in_the_way = _first_in_the_way(left, at)
    if in_the_way is None:
        sent = _sent(left, command, at)
        return replace(
            sent,
            result=closed,
            dead_letters=(closed, *sent.dead_letters),
            blocked=_in_the_way_of(letter, state, None),
        )
    return Decision(
        result=closed,
        dead_letters=(closed, *_moved_up(left, in_the_way)),
        blocked=_in_the_way_of(letter, state, in_the_way.id),
    )


def redrive(
    letter: DeadLetter, command: RedriveDeadLetter, state: State, at: Context
) -> Decision | Refused:
    """Send a letter's message again, and with it all that wait in its queue."""
    queue = _queue(letter, state)
    in_the_way = _first_in_the_way(queue, at)
    if in_the_way and in_the_way.id != letter.id:
        return _not_redrivable(letter, f"it waits behind dead letter {in_the_way.id}")
    for each in queue:
        if not _is_sendable(each, at):
            return _not_redrivable(
                letter,
                "its bytes cannot be read, now or later, or came from a topic that carries no work"
                if each.id == letter.id
                else f"dead letter {each.id} behind it can only be discarded, which comes first",
            )
    sent = _sent(queue, command, at)
    (closed,) = (each for each in sent.dead_letters if each.id == letter.id)
    return replace(sent, result=closed, blocked=_in_the_way_of(letter, state, None))


def signed(
    letter: DeadLetter,
    command: RedriveDeadLetter | DiscardDeadLetter | ResolvePayment | ResolveRefund,
    became: DeadLetterState,
    at: Context,
) -> DeadLetter:
    """The letter as it leaves its queue."""
    return replace(
        letter,
        state=became,
        resolved_at=at.now,
        resolved_by=command.actor,
        resolution=command.reason,
        version=letter.version + 1,
    )


def _sent(
    queue: Sequence[DeadLetter],
    command: RedriveDeadLetter | DiscardDeadLetter,
    at: Context,
) -> Decision:
    """All of `queue` goes back to its topic, in its order."""
    return Decision(
        result=None,
        dead_letters=tuple(signed(each, command, DeadLetterState.REDRIVEN, at) for each in queue),
        republished=tuple(Republication(at.new_id(), each, at.now) for each in queue),
    )


def _queue(letter: DeadLetter, state: State) -> list[DeadLetter]:
    """All that is parked with the letter, itself included, in the order of their topic."""
    if letter.queued_for is None:
        return [letter]
    place = (letter.queued_for, letter.stage, DeadLetterState.PARKED)
    queue = [
        each
        for each in state.dead_letters.values()
        if (each.queued_for, each.stage, each.state) == place
    ]
    return sorted(queue, key=lambda each: (each.source.partition, each.source.offset))


def _first_in_the_way(queue: Sequence[DeadLetter], at: Context) -> DeadLetter | None:
    """The first that has a fault of its own, or cannot be sent."""
    waits = DeadLetterReason.WAITS_BEHIND
    faulty = (each for each in queue if each.reason is not waits or not _is_sendable(each, at))
    return next(faulty, None)


def _moved_up(queue: Sequence[DeadLetter], in_the_way: DeadLetter) -> list[DeadLetter]:
    """Those whose letter in the way is another one now."""
    wanted = [None if each is in_the_way else in_the_way.id for each in queue]
    return [
        replace(each, waits_behind=behind, version=each.version + 1)
        for each, behind in zip(queue, wanted, strict=True)
        if each.waits_behind != behind
    ]


def _blocked_by(payment: Payment, stage: str) -> UUID | None:
    is_charge = stage == charging.STAGE
    return payment.charge_blocked_by if is_charge else payment.refund_blocked_by


def _in_the_way_of(letter: DeadLetter, state: State, by: UUID | None) -> tuple[Payment, ...]:
    """The payment of the letter's queue, with that letter in its way from now on."""
    payment = state.payments.get(letter.queued_for) if letter.queued_for else None
    if payment is None or _blocked_by(payment, letter.stage) == by:
        return ()
    return (_blocking(payment, letter.stage, by),)


def _blocking(payment: Payment, stage: str, by: UUID | None) -> Payment:
    if stage == charging.STAGE:
        return replace(payment, charge_blocked_by=by)
    return replace(payment, refund_blocked_by=by)


def _is_sendable(letter: DeadLetter, at: Context) -> bool:
    """Whether the outbox can carry it, to a topic of work: the world is told a thing once.

    A payload is JSON text in UTF-8, as RFC 8259 defines it.
    """
    if letter.reason not in _SENDABLE or letter.source.topic not in at.topics:
        return False
    try:
        json.loads((letter.source.value or b"").decode(), parse_constant=_no_number)
    except (ValueError, RecursionError):
        return False
    return True


def _no_number(name: str) -> NoReturn:
    """Python's parser takes NaN and Infinity; JSON does not, nor does Postgres."""
    raise ValueError(name)


def _not_redrivable(letter: DeadLetter, why: str) -> Refused:
    return Refused(
        RefusalCode.DEAD_LETTER_NOT_REDRIVABLE, f"dead letter {letter.id} cannot be redriven: {why}"
    )
