"""Nothing is owed to a provider that it would refuse: pay, capture, refund, an operator's redrive.

The rules are an invented provider's; what a real one takes is tried beside its folder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from payments.commands import CapturePayment, RedriveDeadLetter, RefundPayment
from payments.decision import RefusalCode, Refused
from payments.money import Money
from payments.outcome import Operation
from payments.payment import CaptureMethod, PaymentStatus, Provider
from payments.provider_rules import ProviderRules
from payments.record import replace
from tests.support.factories import TENANT, pay, transfer, usd
from tests.support.payments.desk import Desk, granted
from tests.support.payments.payment_paths import scene_of

if TYPE_CHECKING:
    from payments.commands import Command

STRICT: Final = ProviderRules(
    title="Strict",
    currencies=frozenset({"USD"}),
    steps={"USD": 10},
    least={"USD": 50},
    greatest={"USD": 5_000},
)
RULES: Final = {"stripe": STRICT}
NO_MANUAL: Final = replace(STRICT, operations=frozenset({Operation.CHARGE}))


def refused(desk: Desk, command: Command) -> RefusalCode:
    outcome = desk.ask(command)
    assert isinstance(outcome, Refused), outcome
    return outcome.code


@pytest.mark.parametrize(
    ("minor", "why"),
    [
        (40, "0.40 USD is not at least 0.50 USD, as Strict wants it"),
        (5_010, "50.10 USD is not at most 50.00 USD, as Strict wants it"),
        (55, "0.55 USD is not a multiple of 0.10 USD, as Strict wants it"),
    ],
)
def test_an_amount_is_refused_with_the_rule_it_breaks(minor: int, why: str) -> None:
    """Whichever way it would be captured, and before the account is asked for money."""
    desk = Desk(rules=RULES)
    payer = desk.open_account(usd(1))
    for method in CaptureMethod:
        outcome = desk.ask(pay(payer.id, usd(minor), capture_method=method))
        assert outcome == Refused(RefusalCode.AMOUNT_NOT_SUPPORTED, why)


def test_only_the_provider_asked_has_a_say() -> None:
    """Another provider, or none, takes what this one does not."""
    desk = Desk(rules=RULES)
    payer, payee = desk.open_account(), desk.open_account()
    granted(desk.ask(pay(payer.id, usd(41), provider=Provider("paypal"))))
    granted(desk.ask(transfer(payer.id, payee.id, usd(41))))


def test_a_currency_or_a_manual_capture_may_not_be_offered() -> None:
    """That the account has another currency is told first: then the request itself is wrong."""
    desk = Desk(rules={"stripe": NO_MANUAL})
    dollars, euros = desk.open_account(), desk.open_account(Money(1_000, "EUR"))
    assert refused(desk, pay(euros.id, usd(100))) is RefusalCode.CURRENCY_MISMATCH
    in_euros = pay(euros.id, Money(100, "EUR"))
    assert refused(desk, in_euros) is RefusalCode.CURRENCY_NOT_SUPPORTED
    manual = pay(dollars.id, usd(100), capture_method=CaptureMethod.MANUAL)
    assert refused(desk, manual) is RefusalCode.OPERATION_NOT_SUPPORTED


def test_a_capture_is_of_an_amount_the_provider_can_write() -> None:
    """A part may be less than the least payment; refused, the authorization stays as it was."""
    scene = scene_of("authorized")
    desk, payment = scene.desk, scene.payment
    desk.rules = RULES
    capture = CapturePayment(TENANT, payment.id, usd(4_995))
    assert refused(desk, capture) is RefusalCode.AMOUNT_NOT_SUPPORTED
    assert scene.payment == payment
    granted(desk.ask(replace(capture, amount=usd(10))))


def test_a_refund_is_of_an_amount_the_provider_can_write() -> None:
    """So that what is left can be given back too; and not at all where none is offered."""
    scene = scene_of("completed")
    desk, payment_id = scene.desk, scene.payment_id
    desk.rules = RULES
    part = RefundPayment(TENANT, payment_id, usd(15))
    assert refused(desk, part) is RefusalCode.AMOUNT_NOT_SUPPORTED
    granted(desk.ask(replace(part, amount=usd(10))))
    granted(desk.ask(replace(part, amount=None)))
    assert scene.payment.refundable_minor == 0

    scene = scene_of("completed")
    scene.desk.rules = {"stripe": NO_MANUAL}
    whole = RefundPayment(TENANT, scene.payment_id, None)
    assert refused(scene.desk, whole) is RefusalCode.OPERATION_NOT_SUPPORTED


def test_a_redrive_asks_the_rules_of_today() -> None:
    """What was accepted before there was a rule is not sent into its refusal again."""
    scene = scene_of("failed")
    desk = scene.desk
    desk.rules = {"stripe": replace(STRICT, least={"USD": 6_000})}
    redrive = RedriveDeadLetter(desk.letter_about(scene.payment), "ada", "try again")
    assert refused(desk, redrive) is RefusalCode.AMOUNT_NOT_SUPPORTED
    desk.rules = RULES
    granted(desk.ask(redrive))
    assert scene.payment.status is PaymentStatus.PENDING
