"""PayPal's JSON bodies, read by path; every reader raises PayPal's own refusal."""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from simulator.entries import JsonObject, JsonValue
from simulator.paypal import amounts, problems


def parse(body: bytes) -> JsonObject:
    """The object a body holds; an empty body is an empty object, as PayPal's clients send."""
    if not body.strip():
        return {}
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise problems.malformed("MALFORMED_REQUEST_JSON") from None
    # The official client serializes an absent body as null.
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise problems.malformed("MALFORMED_REQUEST_JSON")
    return value


@dataclass(frozen=True, slots=True)
class Reader:
    """An object of a request and where it stands in it."""

    values: JsonObject
    at: str = ""

    def value(self, name: str) -> JsonValue:
        return self.values.get(name)

    def nested(self, name: str) -> Reader:
        """An object, empty when absent."""
        value = self.values.get(name)
        if value is None:
            value = {}
        if not isinstance(value, dict):
            raise problems.malformed("INVALID_PARAMETER_SYNTAX", f"{self.at}/{name}")
        return Reader(value, f"{self.at}/{name}")

    def text(self, name: str, length_max: int = 255) -> str | None:
        """A string or None."""
        value = self.values.get(name)
        if value is None:
            return None
        if not isinstance(value, str):
            raise problems.malformed("INVALID_PARAMETER_SYNTAX", f"{self.at}/{name}")
        if not 0 < len(value) <= length_max:
            raise problems.malformed("INVALID_STRING_LENGTH", f"{self.at}/{name}")
        return value

    def required(self, name: str) -> str:
        """A string that must be there."""
        value = self.text(name)
        if value is None:
            raise problems.malformed("MISSING_REQUIRED_PARAMETER", f"{self.at}/{name}")
        return value

    def amount(self, name: str = "amount") -> tuple[int, str] | None:
        """ISO minor units and currency, or None when absent."""
        if self.values.get(name) is None:
            return None
        money = self.nested(name)
        currency = money.required("currency_code")
        if money.value("value") is None:
            raise problems.malformed("MISSING_REQUIRED_PARAMETER", f"{money.at}/value")
        return amounts.parse(money.value("value"), currency, money.at), currency

    def flag(self, name: str, *, default: bool) -> bool:
        """A boolean."""
        value = self.values.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise problems.malformed("INVALID_PARAMETER_SYNTAX", f"{self.at}/{name}")
        return value
