"""Stripe's own rules on amounts: smallest units, minimums, the twelve digits of cards.

Stripe's units are ISO 4217's but for three currencies: MGA has none, ISK and UGX are written
with two decimals that must be zero. Source: docs.stripe.com/currencies.
"""

from __future__ import annotations

from typing import Final

from payments.currencies import EXPONENTS
from simulator.stripe import failures

_ZERO_DECIMAL: Final = frozenset(
    ("BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF").split()
)
_WRITTEN_WITH_TWO: Final = frozenset({"ISK", "UGX"})
_THREE_DECIMAL: Final = frozenset({"BHD", "JOD", "KWD", "OMR", "TND"})
# Sanctioned or unserved places: Stripe has no such presentment currency.
_UNSUPPORTED: Final = frozenset(
    "BTN CUP ERN GHS IQD IRR KPW LYD MRU SDG SSP STN SVC SYP TMT VED VES ZWG".split()
)
_MINIMUMS: Final = {
    "AED": 200, "ARS": 50, "AUD": 50, "BRL": 50, "CAD": 50, "CHF": 50, "COP": 50, "CZK": 1500,
    "DKK": 250, "EUR": 50, "GBP": 30, "HKD": 400, "HUF": 17500, "IDR": 50, "ILS": 50, "INR": 50,
    "JPY": 50, "KRW": 50, "MXN": 1000, "MYR": 200, "NOK": 300, "NZD": 50, "PHP": 50, "PLN": 200,
    "RON": 200, "RUB": 50, "SEK": 300, "SGD": 50, "THB": 1000, "USD": 50, "ZAR": 50,
}  # fmt: skip
_AMOUNT_MAX: Final = 999_999_999_999


def check_currency(currency: str) -> str:
    """The three-letter code in lower case, as Stripe stores it."""
    code = currency.upper()
    if code not in EXPONENTS or code in _UNSUPPORTED:
        supported = ", ".join(sorted(c.lower() for c in EXPONENTS if c not in _UNSUPPORTED))
        raise failures.invalid(
            f"Invalid currency: {currency.lower()}. Stripe currently supports these "
            f"currencies: {supported}",
            param="currency",
        )
    return code.lower()


def check_amount(amount: int, currency: str) -> None:
    """Refuse an amount Stripe does not take for this currency."""
    code = currency.upper()
    if amount < 1:
        raise failures.invalid(
            "This value must be greater than or equal to 1.",
            param="amount",
            code="parameter_invalid_integer",
        )
    if amount < _MINIMUMS.get(code, 1):
        raise failures.invalid(
            f"Amount must be at least {_MINIMUMS[code]} {currency}",
            param="amount",
            code="amount_too_small",
        )
    if amount > _AMOUNT_MAX:
        raise failures.invalid(
            f"Amount must be no more than {_AMOUNT_MAX} {currency}",
            param="amount",
            code="amount_too_large",
        )
    check_digits(amount, currency)


def check_digits(amount: int, currency: str, param: str = "amount") -> None:
    """Refuse digits that the currency does not have; a capture or a refund has no minimum."""
    code = currency.upper()
    step = 10 if code in _THREE_DECIMAL else 100 if code in _WRITTEN_WITH_TWO else 1
    if amount % step:
        raise failures.invalid(
            f"Invalid amount: {currency} amounts must be divisible by {step}.",
            param=param,
            code="parameter_invalid_integer",
        )


def iso_minor(amount: int, currency: str) -> int:
    """Stripe's units as ISO 4217 minor units."""
    code = currency.upper()
    if code in _WRITTEN_WITH_TWO:
        return amount // 100
    if code in _ZERO_DECIMAL:
        return int(amount * 10 ** EXPONENTS[code])
    return amount


def from_iso_minor(amount_minor: int, currency: str) -> int:
    """ISO 4217 minor units as Stripe's; refuses what has no whole number of those."""
    code = currency.upper()
    if code in _WRITTEN_WITH_TWO:
        return amount_minor * 100
    step = int(10 ** EXPONENTS[code]) if code in _ZERO_DECIMAL else 1
    amount, rest = divmod(amount_minor, step)
    if rest:
        raise failures.invalid(f"Invalid amount: {currency} has no decimals.", param="amount")
    return amount
