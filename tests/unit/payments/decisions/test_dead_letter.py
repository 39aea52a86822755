"""A message that cannot be processed is parked once, whole, and leaves the queue only signed."""

from __future__ import annotations

import pytest

from payments.commands import DiscardDeadLetter, ParkMessage, RedriveDeadLetter
from payments.dead_letter import DeadLetter, DeadLetterReason, DeadLetterState, SourceMessage
from payments.decision import Decision, RefusalCode, Refused
from payments.ids import dead_letter_id
from payments.record import replace
from tests.support.factories import TENANT
from tests.support.payments.desk import Desk, granted

POISON = SourceMessage("payments.charges", 3, 17, b"key", b"\x00\xff not json", {"a": "b"})
READABLE = replace(POISON, value=b'{"payment_id": 1}')


def park(
    source: SourceMessage = POISON, reason: DeadLetterReason = DeadLetterReason.UNDECODABLE
) -> ParkMessage:
    letter_id = dead_letter_id("charge", f"{source.topic}/{source.partition}/{source.offset}")
    return ParkMessage(letter_id, TENANT, "charge", reason, "no JSON", source)


def parked(desk: Desk, command: ParkMessage) -> DeadLetter:
    letter = granted(desk.ask(command)).result
    assert isinstance(letter, DeadLetter)
    return letter


def redrive(desk: Desk, letter: DeadLetter, tenant_id: str | None = None) -> Decision | Refused:
    return desk.ask(RedriveDeadLetter(letter.id, "ada", "mended", tenant_id))


def test_a_message_is_parked_with_its_very_bytes() -> None:
    """Topic, place, key, value and headers are kept as they came."""
    letter = parked(Desk(), park())
    assert letter.source == POISON
    assert (letter.state, letter.attempts, letter.version) == (DeadLetterState.PARKED, 1, 1)


def test_a_message_delivered_again_is_parked_once() -> None:
    """The second time there is nothing to record, even after the letter was closed."""
    desk = Desk()
    letter = parked(desk, park())
    assert granted(desk.ask(park())).dead_letters == ()
    granted(desk.ask(DiscardDeadLetter(letter.id, "ada", "noise")))
    again = granted(desk.ask(park()))
    assert again.dead_letters == ()
    assert desk.working.dead_letters[letter.id].state is DeadLetterState.DISCARDED


@pytest.mark.parametrize(
    "reason",
    [
        DeadLetterReason.UNKNOWN_TYPE,
        DeadLetterReason.UNKNOWN_SUBJECT,
        DeadLetterReason.HANDLER_ERROR,
    ],
)
def test_a_readable_message_is_published_again_as_it_came(reason: DeadLetterReason) -> None:
    """A redrive sends the same bytes to the same topic under a new id."""
    desk = Desk()
    letter = parked(desk, park(READABLE, reason))
    decision = granted(redrive(desk, letter))
    (message,) = decision.republished
    assert message.letter.source == READABLE
    assert message.id != letter.id
    assert desk.working.dead_letters[letter.id].state is DeadLetterState.REDRIVEN


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (POISON, DeadLetterReason.UNDECODABLE),
        (READABLE, DeadLetterReason.UNDECODABLE),
        (POISON, DeadLetterReason.HANDLER_ERROR),
        (replace(POISON, value=None), DeadLetterReason.HANDLER_ERROR),
        (replace(POISON, value=b"[" * 100_000), DeadLetterReason.HANDLER_ERROR),
        (replace(POISON, value=b'{"amount": NaN}'), DeadLetterReason.HANDLER_ERROR),
        (replace(POISON, value="{}".encode("utf-16")), DeadLetterReason.HANDLER_ERROR),
        (replace(READABLE, topic="somebody.elses"), DeadLetterReason.HANDLER_ERROR),
        (replace(READABLE, topic=""), DeadLetterReason.UNKNOWN_TYPE),
        (replace(READABLE, topic="payments.events"), DeadLetterReason.HANDLER_ERROR),
        (replace(READABLE, topic="payments.dlq"), DeadLetterReason.HANDLER_ERROR),
    ],
)
def test_what_would_only_come_back_or_go_astray_is_not_sent_again(
    source: SourceMessage, reason: DeadLetterReason
) -> None:
    """Bytes nobody can read, a topic that carries no work: the letter stays parked."""
    desk = Desk()
    letter = parked(desk, park(source, reason))
    outcome = redrive(desk, letter)
    assert isinstance(outcome, Refused)
    assert outcome.code is RefusalCode.DEAD_LETTER_NOT_REDRIVABLE
    assert desk.working.dead_letters[letter.id].state is DeadLetterState.PARKED


def test_a_letter_belongs_to_its_tenant() -> None:
    """Another tenant's operator finds nothing; the console's, who is of none, does."""
    desk = Desk()
    letter = parked(desk, park(READABLE, DeadLetterReason.HANDLER_ERROR))
    outcome = redrive(desk, letter, "another")
    assert isinstance(outcome, Refused)
    assert outcome.code is RefusalCode.DEAD_LETTER_NOT_FOUND
    assert isinstance(redrive(desk, letter, TENANT), Decision)


def test_a_discarded_letter_is_signed_and_closed_for_good() -> None:
    """Who, why and when are kept, and nothing more can be done with it."""
    desk = Desk()
    letter = parked(desk, park())
    granted(desk.ask(DiscardDeadLetter(letter.id, "ada", "noise")))
    closed = desk.working.dead_letters[letter.id]
    assert (closed.resolved_by, closed.resolution) == ("ada", "noise")
    assert closed.resolved_at == desk.now
    for command in (
        DiscardDeadLetter(letter.id, "bob", "again"),
        RedriveDeadLetter(letter.id, "bob", "again"),
    ):
        outcome = desk.ask(command)
        assert isinstance(outcome, Refused)
        assert outcome.code is RefusalCode.DEAD_LETTER_NOT_PARKED


def test_each_version_of_a_letter_is_one_message() -> None:
    """Said twice, a version has one id; closed, another."""
    desk = Desk()
    letter = parked(desk, park())
    granted(desk.ask(DiscardDeadLetter(letter.id, "ada", "noise")))
    closed = desk.working.dead_letters[letter.id]
    assert letter.message_id == replace(letter, error="other words").message_id
    assert closed.message_id != letter.message_id
