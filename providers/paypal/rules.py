"""What PayPal takes: currencies and the form of their amounts.

Source: developer.paypal.com/api/rest/reference/currency-codes. BRL, CNY and MYR are for accounts
of those countries alone, which PayPal sees to.
"""

from __future__ import annotations

from typing import Final

from payments.provider_rules import ProviderRules

_CURRENCIES: Final = (
    "AUD BRL CAD CHF CNY CZK DKK EUR GBP HKD HUF ILS JPY MXN MYR NOK NZD PHP PLN RUB SEK SGD "
    "THB TWD USD"
)
# ISO 4217 gives them two digits, PayPal none.
WHOLE_UNITS_ONLY: Final = frozenset({"HUF", "TWD"})
# "Up to 15 digits preceding the decimal", developer.paypal.com/docs/api/orders/v2; with decimals
# no amount of ours has as many.
_GREATEST: Final = {"JPY": 10**15 - 1}

RULES: Final = ProviderRules(
    title="PayPal",
    currencies=frozenset(_CURRENCIES.split()),
    steps=dict.fromkeys(WHOLE_UNITS_ONLY, 100),
    greatest=_GREATEST,
    # The simulator's, to choose a decline by; PayPal never gave one and refuses it.
    shared_methods="SIM-[0-9A-Z_]+",
)
