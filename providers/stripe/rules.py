"""What Stripe takes of cards: currencies, and the least and the greatest amount of each.

Source: docs.stripe.com/currencies. Which currencies an account may charge in hangs on its
country; here are those that any may. A least amount is of the currency that is settled in:
Stripe asks for its equivalent of charges that it converts first, and refuses those itself.
"""

from __future__ import annotations

from typing import Final

from payments.provider_rules import ProviderRules
from providers.stripe.amounts import STEPS

_CURRENCIES: Final = (
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BRL BSD BWP BYN BZD "
    "CAD CDF CHF CLP CNY COP CRC CVE CZK DJF DKK DOP DZD EGP ETB EUR FJD FKP GBP GEL GIP GMD "
    "GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR ISK JMD JOD JPY KES KGS KHR KMF KRW KWD KYD KZT "
    "LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK "
    "NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SEK SGD SHP SLE "
    "SOS SRD SZL THB TJS TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VND VUV WST XAF XCD XCG "
    "XOF XPF YER ZAR ZMW"
)
# In ISO 4217's minor units.
_LEAST: Final = {
    "AED": 200, "ARS": 50, "AUD": 50, "BRL": 50, "CAD": 50, "CHF": 50, "COP": 50, "CZK": 1500,
    "DKK": 250, "EUR": 50, "GBP": 30, "HKD": 400, "HUF": 17500, "IDR": 50, "ILS": 50, "INR": 50,
    "JPY": 50, "KRW": 50, "MXN": 1000, "MYR": 200, "NOK": 300, "NZD": 50, "PHP": 50, "PLN": 200,
    "RON": 200, "RUB": 50, "SEK": 300, "SGD": 50, "THB": 1000, "USD": 50, "ZAR": 50,
}  # fmt: skip
# Twelve digits as Stripe writes it, for most cards: American Express's nine, and what networks
# refuse besides, are declines.
_GREATEST: Final = {
    **dict.fromkeys(_CURRENCIES.split(), 999_999_999_999),
    "ISK": 9_999_999_999,
    "MGA": 99_999_999_999_900,
    "UGX": 9_999_999_999,
}

RULES: Final = ProviderRules(
    title="Stripe",
    currencies=frozenset(_CURRENCIES.split()),
    steps=STEPS,
    least=_LEAST,
    greatest=_GREATEST,
    # docs.stripe.com/testing; a live key refuses them.
    shared_methods="pm_card_[0-9A-Za-z_]+",
)
