"""What passes the door is taken by its provider, and what does not, is not: every currency of each.

The simulator's tables of currencies are its own, read from the vendors' documents apart from ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payments.currencies import EXPONENTS
from payments.money import AMOUNT_MINOR_MAX, Money
from payments.outcome import Operation
from payments.provider_rules import Breach, ProviderRules
from providers.gateway import CaptureRequest, ChargeRequest, RefundRequest
from providers.paypal.gateway import CAPABILITIES as PAYPAL
from providers.paypal.objects import to_paypal
from providers.registry import NAMES, RULES
from providers.stripe.amounts import to_stripe
from providers.stripe.gateway import CAPABILITIES as STRIPE
from simulator.paypal import amounts as paypal
from simulator.stripe import currencies as stripe
from simulator.vendor import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from providers.gateway import AnyRequest, Capabilities

ID: Final = UUID(int=1)
CAPABILITIES: Final[dict[str, Capabilities]] = {"stripe": STRIPE, "paypal": PAYPAL}
OPERATIONS: Final = (Operation.CHARGE, Operation.AUTHORIZE, Operation.CAPTURE, Operation.REFUND)


def request_of(operation: Operation, amount: Money) -> AnyRequest:
    match operation:
        case Operation.CAPTURE:
            return CaptureRequest(
                payment_id=ID, idempotency_key="k", provider_reference="r", amount=amount
            )
        case Operation.REFUND:
            return RefundRequest(
                payment_id=ID,
                idempotency_key="k",
                provider_reference="r",
                amount=amount,
                refund_id=ID,
            )
        case _:
            is_charge = operation is Operation.CHARGE
            return ChargeRequest(
                payment_id=ID, idempotency_key="k", amount=amount, capture=is_charge
            )


def stripe_takes(operation: Operation, amount: Money) -> bool:
    """Whether the simulator's Stripe takes it: what cannot be written cannot be sent."""
    if not RULES["stripe"].expresses(amount):
        return False
    sent = to_stripe(amount)
    try:
        stripe.check_currency(sent.currency)
        if operation in {Operation.CHARGE, Operation.AUTHORIZE}:
            stripe.check_amount(sent.value, sent.currency)
        else:
            stripe.check_digits(sent.value, sent.currency)
    except Refused:
        return False
    assert stripe.iso_minor(sent.value, sent.currency) == amount.amount_minor
    return True


def paypal_takes(_operation: Operation, amount: Money) -> bool:
    sent = to_paypal(amount)
    try:
        taken = paypal.parse(sent.value, sent.currency_code, "/amount")
    except Refused:
        return False
    assert taken == amount.amount_minor
    return True


TAKES: Final[dict[str, Callable[[Operation, Money], bool]]] = {
    "stripe": stripe_takes,
    "paypal": paypal_takes,
}


def money_near(rules: ProviderRules, currency: str, edge: int, distance: int) -> Money:
    """An amount so far from one of those around which the rules change their minds."""
    least = rules.least.get(currency, 1)
    edges = (0, least, rules.greatest.get(currency, AMOUNT_MINOR_MAX))
    return Money(min(max(edges[edge] + distance, 1), AMOUNT_MINOR_MAX), currency)


@pytest.mark.parametrize("provider", NAMES)
@settings(max_examples=50)
@given(st.integers(0, 2), st.integers(-200, 200) | st.integers(1, AMOUNT_MINOR_MAX))
def test_the_door_the_gateway_and_the_vendor_agree(provider: str, edge: int, distance: int) -> None:
    """In every currency, of any amount, for each operation that has one."""
    rules = RULES[provider]
    for currency in EXPONENTS:
        amount = money_near(rules, currency, edge, distance)
        # A part of a payment is no greater than the greatest payment.
        is_part = amount.amount_minor <= rules.greatest.get(currency, AMOUNT_MINOR_MAX)
        for operation in OPERATIONS if is_part else (Operation.CHARGE, Operation.AUTHORIZE):
            passes = rules.broken_by(operation, amount) is None
            asked = CAPABILITIES[provider].refusal(request_of(operation, amount)) is None
            taken = TAKES[provider](operation, amount)
            assert (passes, asked, taken) in {(True,) * 3, (False,) * 3}, (operation, amount)


@pytest.mark.parametrize("provider", NAMES)
def test_the_edges_are_on_the_right_side(provider: str) -> None:
    """The least and the greatest amount of every currency are taken, one step beyond is not."""
    rules = RULES[provider]
    for currency in rules.currencies or ():
        step = rules.steps.get(currency, 1)
        for bound, beyond in ((rules.least, -step), (rules.greatest, step)):
            if currency not in bound:
                continue
            minor = bound[currency] - bound[currency] % step
            for operation in (Operation.CHARGE, Operation.AUTHORIZE):
                assert rules.broken_by(operation, Money(minor, currency)) is None
                broken = rules.broken_by(operation, Money(minor + beyond, currency))
                assert broken is not None
                assert broken.breach is Breach.AMOUNT
            assert rules.broken_by(Operation.REFUND, Money(minor + beyond, currency)) is None


def test_rules_name_only_what_they_are_about() -> None:
    """A step or a bound of a currency that is not taken would be a slip of the pen."""
    for rules in RULES.values():
        assert rules.currencies is not None
        assert rules.currencies <= EXPONENTS.keys()
        for table in (rules.steps, rules.least, rules.greatest):
            assert table.keys() <= rules.currencies
