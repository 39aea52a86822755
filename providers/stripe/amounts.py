"""Money as Stripe counts it, which is in minor units but not always ISO 4217's.

The conversion is exact or it is refused. Source: docs.stripe.com/currencies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from payments.money import Money

# Stripe takes whole ariary; ISO 4217 gives the currency two digits.
_WHOLE_UNITS_ONLY: Final = frozenset({"MGA"})
# Without minor units in ISO 4217, with two of them at Stripe, kept for old integrations.
_TWO_DIGITS_BY_CUSTOM: Final = frozenset({"ISK", "UGX"})
# Three digits, the last of which must be 0.
_LAST_DIGIT_ZERO: Final = frozenset({"BHD", "JOD", "KWD", "OMR", "TND"})


@dataclass(frozen=True, slots=True)
class StripeAmount:
    """`currency` in lower case, as Stripe writes it."""

    value: int
    currency: str


def to_stripe(money: Money) -> StripeAmount | None:
    """The same amount at Stripe; None when Stripe cannot express it."""
    currency, value = money.currency, money.amount_minor
    if currency in _LAST_DIGIT_ZERO and value % 10:
        return None
    if currency in _WHOLE_UNITS_ONLY:
        value, rest = divmod(value, 100)
        if rest:
            return None
    elif currency in _TWO_DIGITS_BY_CUSTOM:
        value *= 100
    return StripeAmount(value, currency.lower())
