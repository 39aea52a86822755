"""Money: integer minor units of an ISO 4217 currency, parsed exactly from text.

An amount is never a float. A `Money` is always within `AMOUNT_MINOR_MAX`, its
currency is always in the table, and two currencies never mix.
"""

from __future__ import annotations

import re
from typing import Final

from payments.currencies import EXPONENTS
from payments.record import Struct

# 10^15 minor units: exact in a JSON number (below 2^53), and a thousand such
# amounts still sum within a 64-bit integer column.
AMOUNT_MINOR_MAX: Final = 10**15

# A number as JSON writes it, plus redundant leading zeros a decimal string may have.
_NUMBER: Final = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]{1,4}))?")
# Longer texts cannot be an amount within the limit unless padded; refusing them
# bounds the work a hostile number can cause.
_TEXT_LENGTH_MAX: Final = 64


class AmountError(ValueError):
    """A text that is not an acceptable amount; the message says why."""


class CurrencyError(ValueError):
    """A code that is not an active ISO 4217 currency."""


def exponent_of(currency: str) -> int:
    """Digits after the decimal point (JPY 0, USD 2, KWD 3).

    Raises CurrencyError for an unknown code. Source: ISO 4217, list one.
    """
    try:
        return EXPONENTS[currency]
    except KeyError:
        raise CurrencyError(f"{currency!r} is not an ISO 4217 currency code") from None


class Money(Struct, frozen=True):
    """A whole number of minor units (cents, fils, yen) of one currency."""

    amount_minor: int
    currency: str

    def __post_init__(self) -> None:
        exponent_of(self.currency)
        if not -AMOUNT_MINOR_MAX <= self.amount_minor <= AMOUNT_MINOR_MAX:
            raise AmountError(f"amount exceeds {AMOUNT_MINOR_MAX} minor units")

    def __str__(self) -> str:
        return f"{format_amount(self.amount_minor, self.currency)} {self.currency}"

    @property
    def decimal(self) -> str:
        """The amount with exactly the currency's digits: "100.00", JPY "100"."""
        return format_amount(self.amount_minor, self.currency)


def parse_amount(text: str, currency: str) -> Money:
    """Read a decimal text exactly; `1e2`, `100`, `100.00` are the same USD amount.

    Raises AmountError when the text is no finite decimal number, is negative,
    has more decimals than the currency, or exceeds AMOUNT_MINOR_MAX; raises
    CurrencyError for an unknown currency.
    """
    exponent = exponent_of(currency)
    match = _NUMBER.fullmatch(text) if len(text) <= _TEXT_LENGTH_MAX else None
    if match is None:
        raise AmountError("must be a decimal number")
    sign, whole, fraction, power = match.groups()
    digits = (whole + (fraction or "")).lstrip("0")
    if sign and digits:
        raise AmountError("must not be negative")
    shift = exponent + int(power or 0) - len(fraction or "")
    return Money(_scaled(digits, shift, currency), currency)


def _scaled(digits: str, shift: int, currency: str) -> int:
    """The integer `digits * 10**shift`, refused unless the text's decimals fit and it is in range.

    Trailing zeros count as decimals: "100.00" yen more likely means a client that
    believes the yen has cents than a hundred yen.
    """
    if shift < 0:
        raise AmountError(f"has too many decimal places, {currency} has {exponent_of(currency)}")
    if digits and len(digits) + shift > len(str(AMOUNT_MINOR_MAX)):
        raise AmountError(f"exceeds {AMOUNT_MINOR_MAX} minor units")
    return int(digits + "0" * shift) if digits else 0


def format_amount(amount_minor: int, currency: str) -> str:
    """Minor units as a decimal text with exactly the currency's digits."""
    exponent = exponent_of(currency)
    if exponent == 0:
        return str(amount_minor)
    sign = "-" if amount_minor < 0 else ""
    whole, fraction = divmod(abs(amount_minor), 10**exponent)
    return f"{sign}{whole}.{fraction:0{exponent}d}"
