"""How a payment source is declined: rejection triggers, mock header, tokens, magic amounts.

A decline is either an issue, answered 422 with nothing made, or a processor response code,
answered as a success whose capture is DECLINED. Triggers in the card's name are PayPal's own
(developer.paypal.com/tools/sandbox/card-testing), so is the `PayPal-Mock-Response` header
(.../tools/sandbox/negative-testing); tokens beginning with SIM- and the magic amounts are
this simulator's.
"""

from __future__ import annotations

import re
from typing import Final

import orjson

from simulator.entries import JsonObject

_TRIGGERS: Final = {
    "CCREJECT-REFUSED": "0500",
    "CCREJECT-SF": "9500",
    "CCREJECT-EC": "5400",
    "CCREJECT-IRC": "5180",
    "CCREJECT-IF": "5120",
    "CCREJECT-LS": "9520",
    "CCREJECT-IA": "1330",
    "CCREJECT-BANK_ERROR": "5100",
    "CCREJECT-CVV_F": "00N7",
}
# ISO minor units of any currency, the same amounts as Stripe's in this simulator.
MAGIC_AMOUNTS: Final = {
    400002: "INSTRUMENT_DECLINED",
    400019: "TRANSACTION_REFUSED",
    400027: "00N7",
    400041: "PAYEE_BLOCKED_TRANSACTION",
    400069: "5400",
    400075: "PAYER_CANNOT_PAY",
    400079: "9520",
    400087: "9520",
    400095: "5120",
}
_RESPONSE_CODE: Final = re.compile(r"[0-9A-Z]{4}")
_SIMULATED: Final = "SIM-"


def is_response_code(decline: str) -> bool:
    """Whether a decline is a processor response code rather than an issue."""
    return _RESPONSE_CODE.fullmatch(decline) is not None


def of_source(source: JsonObject) -> str | None:
    """The decline a payment source asks for, by its card's name or its token."""
    for instrument in source.values():
        if not isinstance(instrument, dict):
            continue
        name = instrument.get("name")
        if isinstance(name, str) and name in _TRIGGERS:
            return _TRIGGERS[name]
        for identity in ("vault_id", "billing_agreement_id", "single_use_token", "id"):
            token = instrument.get(identity)
            if isinstance(token, str) and token.startswith(_SIMULATED):
                return token.removeprefix(_SIMULATED)
    return None


def mocked(header: str | None) -> str | None:
    """The issue a `PayPal-Mock-Response` header asks for."""
    if header is None:
        return None
    try:
        wanted = orjson.loads(header)
    except orjson.JSONDecodeError:
        return None
    codes = wanted.get("mock_application_codes") if isinstance(wanted, dict) else None
    if isinstance(codes, list):
        codes = codes[0] if codes else None
    return codes if isinstance(codes, str) else None
