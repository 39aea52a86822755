"""PayPal's amounts: decimal strings of the twenty-five currencies it takes.

HUF, JPY and TWD have no decimals at PayPal, whatever ISO 4217 says.
Source: developer.paypal.com/api/rest/reference/currency-codes.
"""

from __future__ import annotations

import re
from typing import Final

from payments.currencies import EXPONENTS
from simulator.paypal import problems

SUPPORTED: Final = frozenset(
    (
        "AUD BRL CAD CHF CNY CZK DKK EUR GBP HKD HUF ILS JPY MXN MYR NOK NZD PHP PLN RUB SEK "
        "SGD THB TWD USD"
    ).split()
)
_NO_DECIMALS: Final = frozenset({"HUF", "JPY", "TWD"})
# "Up to 15 digits preceding the decimal".
_VALUE: Final = re.compile(r"(-?)([0-9]{1,15})(?:\.([0-9]{1,10}))?")
_VALUE_LENGTH_MAX: Final = 32


def parse(value: object, currency: str, field: str) -> int:
    """ISO minor units of a value; raises PayPal's refusal."""
    if currency not in SUPPORTED:
        raise problems.unprocessable("INVALID_CURRENCY_CODE", f"{field}/currency_code")
    match = _VALUE.fullmatch(value) if isinstance(value, str) else None
    if match is None or len(match[0]) > _VALUE_LENGTH_MAX:
        raise problems.malformed("INVALID_PARAMETER_SYNTAX", f"{field}/value")
    sign, whole, fraction = match[1], match[2], match[3] or ""
    decimals = _decimals(currency)
    if len(fraction) > decimals:
        issue = "DECIMAL_PRECISION" if decimals else "DECIMALS_NOT_SUPPORTED"
        raise problems.unprocessable(issue, f"{field}/value")
    units = int(whole + fraction.ljust(decimals, "0"))
    if sign or units == 0:
        raise problems.unprocessable("CANNOT_BE_ZERO_OR_NEGATIVE", f"{field}/value")
    return int(units * 10 ** (EXPONENTS[currency] - decimals))


def money(amount_minor: int, currency: str) -> dict[str, str]:
    """`{"currency_code": "USD", "value": "10.00"}`."""
    decimals = _decimals(currency)
    units = amount_minor // 10 ** (EXPONENTS[currency] - decimals)
    value = str(units)
    if decimals:
        value = f"{units // 100}.{units % 100:02d}"
    return {"currency_code": currency, "value": value}


def _decimals(currency: str) -> int:
    return 0 if currency in _NO_DECIMALS else 2
