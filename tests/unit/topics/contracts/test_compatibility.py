"""What may change of a payload within a version, and what may not."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import UUID

import pytest
from pydantic import BaseModel, Field, JsonValue, ValidationError, create_model

from topics.contracts.catalogue import PAYLOADS, Payload
from topics.contracts.compatibility import Schema, incompatibilities

if TYPE_CHECKING:
    from collections.abc import Mapping


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class FewerColours(StrEnum):
    RED = "red"


class MoreColours(StrEnum):
    RED = "red"
    BLUE = "blue"
    GREEN = "green"


class Wheel(BaseModel):
    inches: int


class SmallerWheel(BaseModel):
    pass


class NamedWheel(BaseModel):
    inches: int
    name: str


class Tree(BaseModel):
    branches: list[Tree]


class MeasuredTree(BaseModel):
    branches: list[MeasuredTree]
    height: int


# A model's fields as pydantic takes them: a type, and a default where one may be absent.
Fields = dict[str, Any]  # what `create_model` takes

BEFORE: Final[Fields] = {
    "id": (UUID, ...),
    "name": (str, ...),
    "count": (int, ...),
    "colour": (Colour, ...),
    "previous": (Colour | None, ...),
    "nickname": (str | None, None),
    "wheels": (list[Wheel], ...),
    "labels": (dict[str, str], ...),
    "anything": (JsonValue, ...),
    "tree": (Tree, ...),
}
HARMLESS: Final[Mapping[str, Fields]] = {
    "nothing": {},
    "a new field that may be absent": {"size": (int | None, None)},
    "a new value of an enumeration": {"colour": (MoreColours, ...)},
    "another name of a definition": {"colour": (StrEnum("Hue", {"R": "red", "B": "blue"}), ...)},
}
HARMFUL: Final[Mapping[str, tuple[Fields, list[str]]]] = {
    "a field that goes": ({"name": None}, ["name: is gone"]),
    "a field that may go": (
        {"name": (str, "Bob")},
        ["name: may now be absent", "name: its 'default' changed"],
    ),
    "a field that has to come": (
        {"size": (int, ...)},
        ["size: is new and required, and messages are kept that lack it"],
    ),
    "a field that has to stay": (
        {"nickname": (str | None, ...)},
        [
            "nickname: is now required, and messages are kept that lack it",
            "nickname: its 'default' changed",
        ],
    ),
    "another type": (
        {"count": (str, ...)},
        ["count: may no longer be integer", "count: may now be string too"],
    ),
    "a wider type": ({"count": (int | None, ...)}, ["count: may now be null too"]),
    "a narrower type": ({"previous": (Colour, ...)}, ["previous: may no longer be null"]),
    "a text of another form": (
        {"id": (str, ...)},
        ["id: may no longer be string (uuid)", "id: may now be string too"],
    ),
    "no more anything": (
        {"anything": (str, ...)},
        ["anything: may no longer be anything", "anything: may now be string too"],
    ),
    "a value less": ({"colour": (FewerColours, ...)}, ["colour: can no longer be 'blue'"]),
    "a value less where null may be": (
        {"previous": (FewerColours | None, ...)},
        ["previous: can no longer be 'blue'"],
    ),
    "any text": ({"colour": (str, ...)}, ["colour: is no longer one of a few values"]),
    "a few texts": ({"name": (Colour, ...)}, ["name: is now one of a few values only"]),
    "a limit": (
        {"name": (Annotated[str, Field(max_length=9)], ...)},
        ["name: its 'maxLength' changed"],
    ),
    "another default": ({"nickname": (str | None, "Bob")}, ["nickname: its 'default' changed"]),
    "less in a list": ({"wheels": (list[SmallerWheel], ...)}, ["wheels[].inches: is gone"]),
    "more in a list": (
        {"wheels": (list[NamedWheel], ...)},
        ["wheels[].name: is new and required, and messages are kept that lack it"],
    ),
    "other labels": (
        {"labels": (dict[str, int], ...)},
        ["labels.*: may no longer be string", "labels.*: may now be integer too"],
    ),
    "a change in what contains itself": (
        {"tree": (MeasuredTree, ...)},
        ["tree.height: is new and required, and messages are kept that lack it"],
    ),
}


def schema_with(changes: Fields) -> Schema:
    fields = {name: kind for name, kind in (BEFORE | changes).items() if kind is not None}
    return Schema.model_validate(create_model("Example", **fields).model_json_schema())


@pytest.mark.parametrize("change", HARMLESS)
def test_a_version_may_grow(change: str) -> None:
    """Fields that may be absent and values of an enumeration are no new version."""
    assert incompatibilities(schema_with({}), schema_with(HARMLESS[change])) == []


@pytest.mark.parametrize("change", HARMFUL)
def test_what_a_reader_would_notice_is_named(change: str) -> None:
    """Each kind of harm is found where it is, and nothing else is."""
    fields, expected = HARMFUL[change]
    assert incompatibilities(schema_with({}), schema_with(fields)) == expected


@pytest.mark.parametrize(
    "schema",
    [
        {"oneOf": [{"type": "string"}]},
        {"type": "array", "prefixItems": []},
        {"type": "object", "patternProperties": {}},
    ],
)
def test_what_cannot_be_judged_is_refused(schema: JsonValue) -> None:
    """A keyword that may hide a schema is not passed over."""
    with pytest.raises(ValidationError, match="cannot be judged"):
        Schema.model_validate(schema)


def test_two_alternatives_of_one_kind_are_refused() -> None:
    """Which of them a value means, nobody could say."""
    either = Schema.model_validate({"anyOf": [{"type": "object"}, {"type": "object"}]})
    with pytest.raises(ValueError, match="cannot be judged"):
        incompatibilities(either, either)


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda payload: payload.label)
def test_every_payload_can_be_judged(payload: Payload) -> None:
    """A payload is compatible with itself, and no keyword of its schema is unknown."""
    schema = Schema.model_validate(payload.model.model_json_schema())
    assert incompatibilities(schema, schema) == []
