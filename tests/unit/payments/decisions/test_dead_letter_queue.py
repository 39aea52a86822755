"""What waits behind a dead letter: who joins, in which order they leave, and what holds them up."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import pytest

from payments.commands import (
    ClaimPayment,
    ClaimRefund,
    DiscardDeadLetter,
    ParkMessage,
    RedriveDeadLetter,
    RefundPayment,
)
from payments.dead_letter import DeadLetter, DeadLetterReason, DeadLetterState, SourceMessage
from payments.decision import Decision, RefusalCode, Refused
from payments.ids import dead_letter_id
from payments.refund import Refund
from tests.support.factories import TENANT
from tests.support.payments.desk import granted
from tests.support.payments.payment_paths import Scene, scene_of

if TYPE_CHECKING:
    from uuid import UUID

WAITS: Final = DeadLetterReason.WAITS_BEHIND
POISON: Final = DeadLetterReason.UNKNOWN_TYPE
JUNK: Final = DeadLetterReason.UNDECODABLE


@dataclass(slots=True)
class Queue:
    """A payment's messages to a stage as they are parked; letters have names of one letter."""

    scene: Scene = field(default_factory=lambda: scene_of("pending"))
    stage: str = "charge"
    tenant_id: str = TENANT
    named: dict[str, UUID] = field(default_factory=dict)

    def park(self, name: str, reason: DeadLetterReason, value: bytes = b"{}") -> Decision | Refused:
        offset = len(self.named)
        source = SourceMessage(f"payments.{self.stage}s", 0, offset, b"key", value)
        letter_id = dead_letter_id(self.stage, name)
        self.named[name] = letter_id
        payment_id = self.scene.payment_id
        return self.scene.desk.ask(
            ParkMessage(letter_id, self.tenant_id, self.stage, reason, "no", source, payment_id)
        )

    def letter(self, name: str) -> DeadLetter:
        return self.scene.desk.working.dead_letters[self.named[name]]

    def redrive(self, name: str) -> Decision | Refused:
        return self.scene.desk.ask(RedriveDeadLetter(self.named[name], "ada", "mended"))

    def discard(self, name: str) -> Decision | Refused:
        return self.scene.desk.ask(DiscardDeadLetter(self.named[name], "ada", "noise"))

    def names(self, *ids: UUID | None) -> str:
        """The names of these letters, one after the other; `-` is none."""
        by_id = {letter_id: name for name, letter_id in self.named.items()}
        return "".join("-" if each is None else by_id[each] for each in ids)

    @property
    def in_the_way(self) -> str:
        payment = self.scene.payment
        by_stage = {"charge": payment.charge_blocked_by, "refund": payment.refund_blocked_by}
        return self.names(by_stage[self.stage])

    @property
    def parked(self) -> str:
        """Those still parked."""
        return "".join(
            name for name in self.named if self.letter(name).state is DeadLetterState.PARKED
        )


def queue_of(letters: str) -> Queue:
    """`!` before a name is poison, `?` is what nobody can ever read, the rest waits."""
    queue, reason = Queue(), WAITS
    for each in letters:
        if each in "!?":
            reason = POISON if each == "!" else JUNK
            continue
        granted(queue.park(each, reason))
        reason = WAITS
    return queue


ACTIONS: Final = [
    # queue, what is done, what is sent then, what stays parked, what is in the way of the rest
    ("!a", "redrive a", "a", "", "-"),
    ("!a", "discard a", "", "", "-"),
    ("!abc", "redrive a", "abc", "", "-"),
    ("!abc", "discard a", "bc", "", "-"),
    ("!abc", "redrive b", None, "abc", "a"),
    ("!abc", "discard b", "", "ac", "a"),
    # Poison behind poison waits, and is sent with the first, to be parked again if it must.
    ("!ab!cd", "redrive a", "abcd", "", "-"),
    ("!ab!cd", "redrive c", None, "abcd", "a"),
    ("!ab!cd", "discard a", "", "bcd", "c"),
    ("!ab!cd", "discard c", "", "abd", "a"),
    # What nobody can read can only be discarded, and lets nothing pass that came before either.
    ("?abc", "redrive a", None, "abc", "a"),
    ("?abc", "discard a", "bc", "", "-"),
    ("!ab?cd", "redrive a", None, "abcd", "a"),
    ("!ab?cd", "discard a", "", "bcd", "c"),
    ("!ab?cd", "discard c", "", "abd", "a"),
]


@pytest.mark.parametrize(("letters", "action", "sent", "left", "in_the_way"), ACTIONS)
def test_a_queue_moves_as_the_table_says(
    letters: str, action: str, sent: str | None, left: str, in_the_way: str
) -> None:
    """What is sent goes in the order it came, each once; None is a refusal."""
    queue = queue_of(letters)
    verb, name = action.split()
    outcome = {"redrive": queue.redrive, "discard": queue.discard}[verb](name)
    if sent is None:
        assert isinstance(outcome, Refused)
        assert outcome.code is RefusalCode.DEAD_LETTER_NOT_REDRIVABLE
    else:
        decision = granted(outcome)
        assert queue.names(*(each.letter.id for each in decision.republished)) == sent
        assert isinstance(decision.result, DeadLetter)
        assert decision.result.id == queue.named[name]
    assert (queue.parked, queue.in_the_way) == (left, in_the_way)
    behind = [queue.letter(each).waits_behind for each in left]
    assert queue.names(*behind) == "".join(
        "-" if each == in_the_way else in_the_way for each in left
    )


def test_a_queue_is_emptied_one_discard_after_the_other() -> None:
    """Two that nobody can read: what waits goes when the last is gone, in its order."""
    queue = queue_of("?ab?cd")
    granted(queue.discard("a"))
    decision = granted(queue.discard("c"))
    assert queue.names(*(each.letter.id for each in decision.republished)) == "bd"
    assert queue.in_the_way == "-"


def test_a_message_behind_a_letter_is_not_claimed_until_that_is_resolved() -> None:
    """Neither its own next attempt nor another message of the payment starts anything."""
    queue = queue_of("!a")
    payment_id = queue.scene.payment_id
    outcome = queue.scene.desk.ask(ClaimPayment(payment_id, 1, "w"))
    assert isinstance(outcome, Refused)
    assert outcome.code is RefusalCode.BEHIND_DEAD_LETTER
    stale = queue.scene.desk.ask(ClaimPayment(payment_id, 2, "w"))
    assert isinstance(stale, Refused)
    assert stale.code is RefusalCode.NOT_CLAIMABLE, "what starts nothing need not wait"
    granted(queue.redrive("a"))
    granted(queue.scene.desk.ask(ClaimPayment(payment_id, 1, "w")))


def test_a_message_is_due_when_what_it_was_to_wait_for_has_gone() -> None:
    """Between the claim's refusal and its parking an operator was faster."""
    queue = queue_of("!a")
    granted(queue.discard("a"))
    outcome = queue.park("b", WAITS)
    assert isinstance(outcome, Refused)
    assert queue.named["b"] not in queue.scene.desk.working.dead_letters


def test_each_stage_has_its_own_queue() -> None:
    """Poison among a payment's charges holds up none of its refunds, and the other way round."""
    scene = scene_of("completed")
    granted(Queue(scene).park("a", POISON))
    refund = granted(scene.desk.ask(RefundPayment(TENANT, scene.payment_id, None))).result
    assert isinstance(refund, Refund)
    claim = ClaimRefund(refund.id, 1, "w")
    refunds = Queue(scene, "refund")
    granted(refunds.park("b", POISON))
    outcome = scene.desk.ask(claim)
    assert isinstance(outcome, Refused)
    assert outcome.code is RefusalCode.BEHIND_DEAD_LETTER
    granted(refunds.discard("b"))
    granted(scene.desk.ask(claim))


@pytest.mark.parametrize("stage", ["dead-letters", "webhooks"])
def test_a_letter_of_another_stage_holds_up_nobody(stage: str) -> None:
    """Its messages are not a payment's work, whatever their key is."""
    queue = Queue(stage=stage)
    letter = granted(queue.park("a", JUNK)).result
    assert isinstance(letter, DeadLetter)
    assert letter.queued_for is None
    granted(queue.scene.desk.ask(ClaimPayment(queue.scene.payment_id, 1, "w")))


def test_a_letter_about_work_that_was_given_up_is_in_nobody_s_way() -> None:
    """It stands for no message: the payment goes on, or ended."""
    scene = scene_of("last_capture")
    scene.play("retriable")
    assert scene.payment.charge_blocked_by is None
    scene.play("capture claim succeeded")


def test_who_is_kept_waiting_sees_why() -> None:
    """Poison may name no tenant, or another: the letter belongs to the payment's."""
    queue = Queue(tenant_id="another")
    granted(queue.park("a", POISON))
    assert queue.letter("a").tenant_id == TENANT


def test_a_letter_that_is_only_filed_stands_in_no_queue() -> None:
    """One from before a restore: what it waited behind is not known, so it can be sent alone."""
    queue = Queue()
    source = SourceMessage("payments.charges", 0, 0, b"key", b"{}")
    letter_id = dead_letter_id("charge", "filed")
    granted(queue.scene.desk.ask(ParkMessage(letter_id, TENANT, "charge", WAITS, "no", source)))
    granted(queue.scene.desk.ask(ClaimPayment(queue.scene.payment_id, 1, "w")))
    decision = granted(queue.scene.desk.ask(RedriveDeadLetter(letter_id, "ada", "found")))
    assert [each.letter.id for each in decision.republished] == [letter_id]


def test_a_letter_parked_again_changes_nothing() -> None:
    """A redelivery joins no second time, neither while it is parked nor when it has left."""
    queue = queue_of("!ab")
    again = [queue.park(name, WAITS) for name in "ab"]
    assert all(granted(each).dead_letters == () for each in again)
    granted(queue.redrive("a"))
    assert granted(queue.park("b", WAITS)).dead_letters == ()
    assert queue.in_the_way == "-"
