"""Money as Stripe counts it, which is in minor units but not always ISO 4217's.

The conversion is exact, either way; what would not be is refused before it is asked, and not
believed when it is answered. Source: docs.stripe.com/currencies.
"""

from __future__ import annotations

from typing import Final

from payments.currencies import EXPONENTS
from payments.money import AMOUNT_MINOR_MAX, Money
from payments.record import Struct

# Stripe takes whole ariary; ISO 4217 gives the currency two digits.
_WHOLE_UNITS_ONLY: Final = frozenset({"MGA"})
# Without minor units in ISO 4217, with two of them at Stripe, kept for old integrations.
_TWO_DIGITS_BY_CUSTOM: Final = frozenset({"ISK", "UGX"})
# Three digits, the last of which must be 0.
_LAST_DIGIT_ZERO: Final = frozenset({"BHD", "JOD", "KWD", "OMR", "TND"})
# What Stripe's amounts are multiples of, in ISO 4217's minor units.
STEPS: Final = {**dict.fromkeys(_WHOLE_UNITS_ONLY, 100), **dict.fromkeys(_LAST_DIGIT_ZERO, 10)}


class StripeAmount(Struct, frozen=True):
    """`currency` in lower case, as Stripe writes it."""

    value: int
    currency: str


def to_stripe(money: Money) -> StripeAmount:
    """The same amount at Stripe: a multiple of its currency's step."""
    currency, value = money.currency, money.amount_minor
    assert value % STEPS.get(currency, 1) == 0, "the rules refuse it"
    if currency in _WHOLE_UNITS_ONLY:
        value //= STEPS[currency]
    elif currency in _TWO_DIGITS_BY_CUSTOM:
        value *= 100
    return StripeAmount(value, currency.lower())


def from_stripe(amount: StripeAmount) -> Money | None:
    """The same amount here; None for one that no payment can be of."""
    currency, value = amount.currency.upper(), amount.value
    if currency in _WHOLE_UNITS_ONLY:
        value *= STEPS[currency]
    elif currency in _TWO_DIGITS_BY_CUSTOM:
        value, rest = divmod(value, 100)
        if rest:
            return None
    is_known = currency in EXPONENTS and 0 < value <= AMOUNT_MINOR_MAX
    return Money(value, currency) if is_known else None
