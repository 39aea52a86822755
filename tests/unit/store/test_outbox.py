"""The outbox's rows: each lies in the day in which it was said."""

from __future__ import annotations

from datetime import timedelta

from payments.commands import DiscardDeadLetter, ParkMessage
from payments.dead_letter import DeadLetterReason, SourceMessage
from payments.ids import dead_letter_id
from store.write.outbox import messages
from tests.support.factories import TENANT
from tests.support.payments.desk import granted
from tests.support.payments.payment_paths import scene_of


def test_a_letter_is_dated_when_it_is_said_not_when_it_failed() -> None:
    """The second in a queue moves up, days after it was parked.

    What it says has a position of now: in the day of then it would be dropped with that.
    """
    scene = scene_of("pending")
    desk = scene.desk
    for offset, name in enumerate("ab"):
        source = SourceMessage("payments.charges", 0, offset, b"key", b"{}")
        letter_id, reason = dead_letter_id("charge", name), DeadLetterReason.UNKNOWN_TYPE
        granted(
            desk.ask(
                ParkMessage(letter_id, TENANT, "charge", reason, "no", source, scene.payment_id)
            )
        )
    parked_at = desk.now
    desk.now += timedelta(days=9)
    discard = DiscardDeadLetter(dead_letter_id("charge", "a"), "ada", "noise")
    moved = granted(desk.ask(discard))
    rows = [*messages(moved, (), None, desk.now)]
    assert [row.type for row in rows] == ["dead_letter.discarded", "dead_letter.parked"]
    assert {(row.occurred_at, row.recorded_at) for row in rows} == {(desk.now, desk.now)}
    assert [letter.last_failed_at for letter in moved.dead_letters] == [parked_at, parked_at]
