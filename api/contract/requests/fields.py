"""The kinds of value a request is made of, each checked the same way everywhere.

A kind refuses with a sentence that can follow the field's name ("must be ..."). Values
are what `api.http.strict_json` parsed, so a number is still its text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Final, TypeVar
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, WithJsonSchema
from pydantic.config import JsonDict
from pydantic_core import PydanticCustomError
from typing_extensions import TypeAliasType

from api.contract.requests.metadata import KEY_LENGTH_MAX, KEYS_MAX, exact_json
from api.http.strict_json import Number
from payments.currencies import EXPONENTS
from payments.events import PRIVATE, EventType
from payments.money import AMOUNT_MINOR_MAX
from payments.resolution import REFERENCE
from store.ids import id_of
from topics.contracts.provider_names import Provider

# As RFC 9562 writes it; `uuid.UUID` would also take braces, URNs and stray dashes.
_UUID: Final = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII
)
# RFC 3339 with a time zone: an instant without one is three hours off somewhere.
_INSTANT: Final = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_MICROSECOND_DIGITS: Final = 6
# Beyond that `parse_amount` takes nothing either; here it is known without the currency.
_AMOUNT_LENGTH_MAX: Final = 64
# Under which the names of the providers stand in the context of a validation.
PROVIDERS: Final = "providers"

# What the world is told of payments.
PUBLIC_TYPES: Final = tuple(each.value for each in EventType if each not in PRIVATE)

ValueT = TypeVar("ValueT")


def refused(kind: str, reason: str) -> PydanticCustomError:
    """A refusal that reads as the second half of a sentence about its field."""
    return PydanticCustomError(kind, "{reason}", {"reason": reason})


def parse_uuid(text: str) -> UUID | None:
    """The id a text is, or None."""
    return id_of(text) if _UUID.fullmatch(text) else None


def parse_instant(text: str) -> datetime | None:
    """The instant an RFC 3339 text names, in UTC, or None. Finer than microseconds is cut off."""
    if not _INSTANT.fullmatch(text):
        return None
    shortened = re.sub(rf"(\.\d{{{_MICROSECOND_DIGITS}}})\d+", r"\1", text)
    try:
        return datetime.fromisoformat(shortened.upper()).astimezone(UTC)
    except (ValueError, OverflowError):  # 30 February, or the year 0 in another zone
        return None


def _amount(value: object) -> str:
    text = value.text if type(value) is Number else value
    if type(text) is not str:
        raise refused("amount", "must be a number or a decimal string")
    if len(text) > _AMOUNT_LENGTH_MAX:
        raise refused("amount", "must be a decimal number")
    return text


def _uuid(value: object) -> UUID:
    found = parse_uuid(value) if isinstance(value, str) else None
    if found is None:
        raise refused("uuid", "must be a UUID like 0190a5e4-7b1c-7c3e-9d3f-0a7c1be25d10")
    return found


def _instant(value: object) -> datetime:
    found = parse_instant(value) if isinstance(value, str) else None
    if found is None:
        raise refused(
            "instant", "must be a time with its zone like 2026-01-31T12:00:00Z (RFC 3339)"
        )
    return found


def _currency(value: str) -> str:
    if value not in EXPONENTS:
        raise refused("currency", "must be an ISO 4217 code in capitals like USD")
    return value


def _reference(value: str) -> str:
    if not REFERENCE.fullmatch(value):
        raise refused("reference", "must be 1 to 255 visible ASCII characters")
    return value


def one_of(kind: Callable[[str], ValueT]) -> BeforeValidator:
    """A member of an enumeration, by its value; the refusal lists what there is."""
    members = ", ".join(str(each) for each in kind)  # type: ignore[attr-defined]  # an enum class iterates

    def parse(value: object) -> ValueT:
        try:
            return kind(value)  # type: ignore[arg-type]  # any other type is no member either
        except ValueError:
            raise refused("enum", f"must be one of {members}") from None

    return BeforeValidator(parse)


def _known_provider(value: object, info: ValidationInfo) -> object:
    names: Sequence[str] = info.context[PROVIDERS] if info.context else ()
    if value not in names:
        raise refused("enum", f"must be one of {', '.join(names)}")
    return value


def _amount_schema(lowest: str) -> WithJsonSchema:
    some = r"(?=[0-9.]*[1-9])" if lowest == "exclusiveMinimum" else ""
    text = rf"^{some}[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{{1,4}})?$"
    return WithJsonSchema(
        {
            "oneOf": [
                {"type": "number", lowest: 0, "maximum": AMOUNT_MINOR_MAX},
                {"type": "string", "pattern": text, "maxLength": _AMOUNT_LENGTH_MAX},
            ],
            "description": (
                "A JSON number or a decimal string, read exactly from its text; "
                "at most the currency's decimals and 10^15 minor units."
            ),
        }
    )


# One of the providers there are; their names are in the context of the validation.
KnownProvider = Annotated[Provider, BeforeValidator(_known_provider)]
# Aliases by name, so that a client's generator makes one type of each.
OpeningBalance = TypeAliasType(
    "OpeningBalance", Annotated[str, BeforeValidator(_amount), _amount_schema("minimum")]
)
Amount = TypeAliasType(
    "Amount", Annotated[str, BeforeValidator(_amount), _amount_schema("exclusiveMinimum")]
)
Currency = Annotated[
    str,
    AfterValidator(_currency),
    WithJsonSchema(
        {"type": "string", "enum": sorted(EXPONENTS), "description": "An ISO 4217 code."}
    ),
]
Id = Annotated[UUID, BeforeValidator(_uuid), WithJsonSchema({"type": "string", "format": "uuid"})]
Instant = Annotated[
    datetime, BeforeValidator(_instant), WithJsonSchema({"type": "string", "format": "date-time"})
]
Metadata = Annotated[
    dict[str, object],
    BeforeValidator(exact_json),
    WithJsonSchema(
        {
            "type": "object",
            # The rule when nothing is said, but some generators then make no map of it.
            "additionalProperties": True,
            "maxProperties": KEYS_MAX,
            "propertyNames": {"minLength": 1, "maxLength": KEY_LENGTH_MAX},
            "description": "The client's own; kept and returned as it is, 8 KiB at most.",
        }
    ),
]

# Characters; NUL is refused wherever it is (`api.contract.requests.reading`), which the document
# says here.
_TEXT: Final[JsonDict] = {"pattern": r"^[^\u0000]*$"}
Name = Annotated[str, Field(min_length=1, max_length=255, json_schema_extra=_TEXT)]
StageName = Annotated[str, Field(min_length=1, max_length=100, json_schema_extra=_TEXT)]
# A statement's line; longer texts belong to the client's own records.
Description = Annotated[str, Field(max_length=500, json_schema_extra=_TEXT)]
ProviderReference = Annotated[
    str,
    AfterValidator(_reference),
    WithJsonSchema({"type": "string", "pattern": f"^{REFERENCE.pattern}$"}),
]
Reason = Annotated[str, Field(min_length=1, max_length=500, json_schema_extra=_TEXT)]
