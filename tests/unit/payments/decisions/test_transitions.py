"""Every command in every situation of a payment and of a refund, the impossible ones included.

`payment_transitions.txt` and `refund_transitions.txt` hold one line a pair: what the
state becomes, the event that says so, what happens to the money, what is owed then, and
what else is said. A pair without a line fails, and so does a line without a pair.
"""

from __future__ import annotations

from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from payments.commands import (
    ClaimPayment,
    ClaimRefund,
    ExpireAuthorization,
    WakePayment,
    WakeRefund,
)
from payments.decision import Decision, RefusalCode, Refused
from payments.ledger import TransactionType, TransferState
from payments.notification import NotificationEffect, NotificationTaken
from payments.payment import PaymentStatus
from payments.refund import RefundStatus
from tests.support.payments.desk import granted
from tests.support.payments.payment_paths import COMMANDS, OUTCOMES, SITUATIONS, UNCERTAIN, scene_of
from tests.support.payments.refund_paths import COMMANDS as REFUND_COMMANDS
from tests.support.payments.refund_paths import PATHS as REFUND_PATHS
from tests.support.payments.refund_paths import refund_scene_of

if TYPE_CHECKING:
    from payments.payment import Payment
    from payments.progress import Progress
    from payments.refund import Refund

_HERE: Final = Path(__file__).parent
_COLUMNS: Final = 7
_KINDS: Final = {TransactionType.REFUND: "given back", TransactionType.DISPUTE: "disputed"}


def _table(name: str) -> dict[tuple[str, str], str]:
    rows: dict[tuple[str, str], str] = {}
    for line in (_HERE / name).read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            cells = [cell.strip() for cell in line.split("|")]
            assert len(cells) == _COLUMNS, line
            situation, command = cells[:2]
            assert (situation, command) not in rows, f"twice: {situation}, {command}"
            rows[situation, command] = " | ".join(cells[2:])
    return rows


PAYMENTS: Final = _table("payment_transitions.txt")
REFUNDS: Final = _table("refund_transitions.txt")


def test_the_tables_have_a_line_for_every_pair_and_no_other() -> None:
    """A new state or command cannot be forgotten."""
    assert PAYMENTS.keys() == set(product(SITUATIONS, COMMANDS))
    assert REFUNDS.keys() == set(product(REFUND_PATHS, REFUND_COMMANDS))
    assert {scene_of(each).payment.status for each in SITUATIONS} == set(PaymentStatus)
    assert {refund_scene_of(each).refund.status for each in REFUND_PATHS} == set(RefundStatus)


@pytest.mark.parametrize(("situation", "command"), [*product(SITUATIONS, COMMANDS)])
def test_a_payment_goes_where_the_table_says(situation: str, command: str) -> None:
    """What a command does in a situation is its line, to the last word."""
    scene = scene_of(situation)
    before = scene.payment
    outcome = scene.desk.ask(scene.command(command))
    assert _payment_line(before, outcome) == PAYMENTS[situation, command]


@pytest.mark.parametrize(("situation", "command"), [*product(REFUND_PATHS, REFUND_COMMANDS)])
def test_a_refund_goes_where_the_table_says(situation: str, command: str) -> None:
    """What a command does in a situation is its line, and the promise is kept in step."""
    scene = refund_scene_of(situation)
    before, payment_before = scene.refund, scene.payment
    outcome = scene.desk.ask(scene.command(command))
    assert _refund_line(before, payment_before, outcome) == REFUNDS[situation, command]


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("ahead", [-1, 0, 2, 10])
def test_a_claim_of_another_number_is_refused(situation: str, ahead: int) -> None:
    """Late, duplicate and foreign messages start nothing, in any situation."""
    scene = scene_of(situation)
    number = scene.payment.progress.attempt_count + ahead
    assert _is_not_claimable(scene.desk.ask(ClaimPayment(scene.payment_id, number, "w")))


@pytest.mark.parametrize("situation", REFUND_PATHS)
@pytest.mark.parametrize("ahead", [-1, 0, 2, 10])
def test_a_refund_claim_of_another_number_is_refused(situation: str, ahead: int) -> None:
    """Late, duplicate and foreign messages start nothing, in any situation."""
    scene = refund_scene_of(situation)
    number = scene.refund.progress.attempt_count + ahead
    assert _is_not_claimable(scene.desk.ask(ClaimRefund(scene.refund_id, number, "w")))


@pytest.mark.parametrize(("situation", "outcome"), [*product(SITUATIONS, UNCERTAIN)])
def test_an_attempt_without_a_lease_decides_nothing_it_is_not_sure_of(
    situation: str, outcome: str
) -> None:
    """What a zombie does not know for certain is recorded with its attempt, and no more."""
    scene = scene_of(situation)
    decision = granted(scene.desk.ask(scene.settled(OUTCOMES[outcome], late=True)))
    assert not decision.payments
    assert not decision.dead_letters
    assert len(decision.attempt_results) == 1


@pytest.mark.parametrize(("situation", "outcome"), [*product(REFUND_PATHS, UNCERTAIN)])
def test_a_refund_attempt_without_a_lease_decides_nothing_it_is_not_sure_of(
    situation: str, outcome: str
) -> None:
    """What a zombie does not know for certain is recorded with its attempt, and no more."""
    scene = refund_scene_of(situation)
    decision = granted(scene.desk.ask(scene.settled(OUTCOMES[outcome], late=True)))
    assert not decision.refunds
    assert not decision.dead_letters
    assert len(decision.attempt_results) == 1


@pytest.mark.parametrize("situation", SITUATIONS)
def test_nothing_is_woken_before_its_time(situation: str) -> None:
    """A microsecond early is early."""
    scene = scene_of(situation)
    due_at = scene.payment.progress.due_at
    scene.desk.now = (due_at or scene.desk.now) - timedelta(microseconds=1)
    assert _is_not_claimable(scene.desk.ask(WakePayment(scene.payment_id)))
    assert _is_not_claimable(scene.desk.ask(ExpireAuthorization(scene.payment_id)))


@pytest.mark.parametrize("situation", REFUND_PATHS)
def test_no_refund_is_woken_before_its_time(situation: str) -> None:
    """A microsecond early is early."""
    scene = refund_scene_of(situation)
    due_at = scene.refund.progress.due_at
    scene.desk.now = (due_at or scene.desk.now) - timedelta(microseconds=1)
    assert _is_not_claimable(scene.desk.ask(WakeRefund(scene.refund_id)))


def _is_not_claimable(outcome: Decision | Refused) -> bool:
    return isinstance(outcome, Refused) and outcome.code is RefusalCode.NOT_CLAIMABLE


def _payment_line(before: Payment, outcome: Decision | Refused) -> str:
    if isinstance(outcome, Refused):
        return f"refused | {outcome.code.value} | - | - | -"
    if not outcome.payments:
        return f"unchanged | - | {_money(outcome)} | - | {_said(outcome)}"
    after = outcome.payments[-1]
    assert after.version == before.version + len(outcome.events)
    assert after.sequence == before.sequence + sum(each.is_public for each in outcome.events)
    owed = _owed(before.progress, after.progress)
    doing = f"{after.operation.value} {owed}" if after.operation else owed
    if after.awaits_capture:
        assert after.progress.due_at == after.authorization_expires_at
        doing = f"expiry {owed}"
    what = f"{after.status.value} | {' + '.join(each.type.value for each in outcome.events)}"
    return f"{what} | {_money(outcome)} | {doing} | {_said(outcome)}"


def _refund_line(before: Refund, paid: Payment, outcome: Decision | Refused) -> str:
    if isinstance(outcome, Refused):
        return f"refused | {outcome.code.value} | - | - | -"
    if not outcome.refunds:
        return f"unchanged | - | {_money(outcome)} | - | {_said(outcome)}"
    (after,) = outcome.refunds
    assert after.version == before.version + 1
    event, money = "-", "-"
    for payment in outcome.payments:
        assert payment.version == paid.version + 1
        assert payment.sequence == paid.sequence + 1
        event = outcome.events[0].type.value
        promised = payment.refund_pending_minor - paid.refund_pending_minor
        refunded = payment.refunded_minor - paid.refunded_minor
        if promised or refunded:
            assert (promised, refunded) in {(-2_000, 2_000), (-2_000, 0)}
            money = "given back" if refunded else "kept"
            assert bool(refunded) == bool(outcome.transfers)
    owed = _owed(before.progress, after.progress)
    return f"{after.status.value} | {event} | {money} | {owed} | {_said(outcome)}"


def _money(decision: Decision) -> str:
    words = [
        _KINDS.get(each.entry.transaction_type) or _MOVES[each.state] for each in decision.transfers
    ]
    return " ".join(words) or "-"


_MOVES: Final = {
    TransferState.PENDING: "held",
    TransferState.POSTED: "posted",
    TransferState.VOIDED: "released",
}


def _owed(before: Progress, after: Progress) -> str:
    """Who looks next, and which counter moved."""
    state = "nothing" if after.due_at is None else "leased" if after.lease_id else "due"
    assert not (after.lease_id and after.due_at is None)
    moved = [
        f"{name}{now - earlier:+d}"
        for name, earlier, now in (
            ("retry", before.retry_count, after.retry_count),
            ("inquiry", before.inquiry_count, after.inquiry_count),
        )
        if now != earlier
    ]
    return " ".join((state, *moved))


def _said(decision: Decision) -> str:
    words = [each.type.value for each in decision.work]
    if isinstance(decision.result, NotificationTaken):
        assert [each.effect for each in decision.provider_events] == (
            [] if decision.result.effect is NotificationEffect.DOUBTED else [decision.result.effect]
        )
        words.append(decision.result.effect.value)
    words += [
        f"letter {each.state.value}" if each.resolved_at else f"letter {each.reason.value}"
        for each in decision.dead_letters
    ]
    return ", ".join(words) or "-"
