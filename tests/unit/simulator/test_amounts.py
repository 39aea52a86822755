"""The vendors' amounts against ISO 4217's minor units."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.identifiers import Identifiers
from simulator.paypal import amounts as paypal
from simulator.stripe import currencies as stripe
from simulator.vendor import Refused


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        (1000, "usd", 1000),
        (500, "jpy", 500),
        (1230, "kwd", 1230),
        (100, "mga", 10_000),  # ISO writes two decimals, Stripe none
        (500, "isk", 5),  # Stripe writes two zeros, ISO none
        (700, "ugx", 7),
    ],
)
def test_stripe_s_units_in_minor_units(amount: int, currency: str, minor: int) -> None:
    stripe.check_amount(amount, currency)
    assert stripe.iso_minor(amount, currency) == minor


@pytest.mark.parametrize(
    ("amount", "currency"),
    [(0, "usd"), (49, "usd"), (10**12, "usd"), (1234, "kwd"), (501, "isk"), (49, "jpy")],
)
def test_stripe_refuses(amount: int, currency: str) -> None:
    """Too small, too large, or digits the currency does not have."""
    with pytest.raises(Refused):
        stripe.check_amount(amount, currency)


@pytest.mark.parametrize(
    ("value", "currency", "minor"),
    [
        ("12.50", "USD", 1250),
        ("12.5", "USD", 1250),
        ("12", "USD", 1200),
        ("500", "JPY", 500),
        ("500", "HUF", 50_000),  # ISO writes two decimals, PayPal none
        ("7", "TWD", 700),
    ],
)
def test_paypal_s_values_in_minor_units(value: str, currency: str, minor: int) -> None:
    assert paypal.parse(value, currency, "/amount") == minor


@given(st.integers(1, 10**12), st.sampled_from(sorted(paypal.SUPPORTED)))
def test_paypal_s_values_go_both_ways(units: int, currency: str) -> None:
    """What is shown reads as what was meant, in every currency PayPal takes."""
    minor = units * (100 if currency in ("HUF", "TWD") else 1)
    shown = paypal.money(minor, currency)
    assert paypal.parse(shown["value"], currency, "/amount") == minor


def test_ids_are_in_creation_order_even_when_the_clock_stands_still() -> None:
    """Pages are cut by id, so ids must sort as they were made."""
    ids = Identifiers(Random(1), lambda: 1_800_000_000.0)
    drawn = [ids.prefixed("pi_3") for _ in range(1000)]
    assert drawn == sorted(drawn)
    assert len(set(drawn)) == 1000
    assert {len(one) for one in drawn} == {len("pi_3") + 24}
    assert all(one.removeprefix("pi_3").isalnum() for one in drawn)
    orders = [ids.capitals() for _ in range(1000)]
    assert orders == sorted(orders)
    assert {len(one) for one in orders} == {17}
