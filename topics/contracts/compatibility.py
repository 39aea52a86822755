"""What may change of a payload within a version: nothing a reader could notice.

Messages are kept and replayed, and readers are older or newer than writers, so both ways must
hold: what was written under the old schema is valid under the new one, and a reader of the old
one finds everything it relied on in what is written now. Hence a version may grow by optional
fields and by values of an enumeration, and by nothing else. Readers ignore fields they do not
know, and expect values they do not know.

Only the JSON Schema that pydantic writes for plain models is understood: types, `anyOf`, `enum`,
objects, arrays and references; limits and defaults must stay as they are. A schema with any other
keyword is refused, for nobody could say what a change of it breaks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

# Keywords that hold no schema and no reference: equal texts mean the same.
_PLAIN: Final = frozenset(
    "const default deprecated examples exclusiveMaximum exclusiveMinimum maxItems maxLength maximum"
    " minItems minLength minimum multipleOf pattern readOnly uniqueItems writeOnly".split()
)


class Schema(BaseModel):
    """A JSON Schema, or a part of one. Raises ValidationError for what cannot be judged."""

    model_config = ConfigDict(frozen=True, extra="allow")

    reference: str | None = Field(None, alias="$ref")
    any_of: tuple[Schema, ...] = Field((), alias="anyOf")
    type: str | None = None
    format: str | None = None
    enum: tuple[JsonValue, ...] = ()
    properties: dict[str, Schema] = {}
    required: frozenset[str] = frozenset()
    additional: Schema | bool = Field(default=True, alias="additionalProperties")
    items: Schema | None = None
    definitions: dict[str, Schema] = Field({}, alias="$defs")
    # Words for people, of no consequence.
    title: str | None = None
    description: str | None = None
    identity: str | None = Field(None, alias="$id")
    dialect: str | None = Field(None, alias="$schema")

    @property
    def limits(self) -> dict[str, JsonValue]:
        """The keywords that are compared by their text."""
        return self.model_extra or {}

    @model_validator(mode="after")
    def _is_understood(self) -> Self:
        if unknown := self.limits.keys() - _PLAIN:
            raise ValueError(f"changes of {', '.join(sorted(unknown))} cannot be judged")
        return self


def incompatibilities(old: Schema, new: Schema) -> list[str]:
    """What `new` breaks of `old`, each as a sentence that begins with the field's path."""
    return list(_Comparison(old, new).of(old, new, ""))


@dataclass(frozen=True, slots=True)
class _Comparison:
    old: Schema
    new: Schema
    # A reference may lead back to itself; one comparison of two definitions is enough.
    seen: set[tuple[str | None, str | None]] = field(default_factory=set)

    def of(self, old: Schema, new: Schema, path: str) -> Iterator[str]:
        pair = (old.reference, new.reference)
        if pair in self.seen:
            return
        if old.reference and new.reference:
            self.seen.add(pair)
        yield from _constraints(old, new, path)
        olds, news = _alternatives(self.old, old), _alternatives(self.new, new)
        for kind in sorted(olds.keys() - news.keys()):
            yield f"{path or 'the value'}: may no longer be {kind}"
        for kind in sorted(news.keys() - olds.keys()):
            yield f"{path or 'the value'}: may now be {kind} too"
        for kind in sorted(olds.keys() & news.keys()):
            if (olds[kind], news[kind]) != (old, new):
                yield from _constraints(olds[kind], news[kind], path)
            yield from self._same_kind(olds[kind], news[kind], path)

    def _same_kind(self, old: Schema, new: Schema, path: str) -> Iterator[str]:
        yield from _values(old, new, path)
        yield from self._fields(old, new, path)
        if isinstance(old.additional, Schema) and isinstance(new.additional, Schema):
            yield from self.of(old.additional, new.additional, f"{path}.*".lstrip("."))
        elif old.additional != new.additional:
            yield f"{path or 'the value'}: what other fields may be changed"
        if old.items and new.items:
            yield from self.of(old.items, new.items, f"{path}[]")
        elif old.items != new.items:
            yield f"{path or 'the value'}: what its items may be changed"

    def _fields(self, old: Schema, new: Schema, path: str) -> Iterator[str]:
        for name, before in old.properties.items():
            inner = f"{path}.{name}".lstrip(".")
            if name not in new.properties:
                yield f"{inner}: is gone"
                continue
            if name in old.required - new.required:
                yield f"{inner}: may now be absent"
            if name in new.required - old.required:
                yield f"{inner}: is now required, and messages are kept that lack it"
            yield from self.of(before, new.properties[name], inner)
        for name in sorted(new.required - old.properties.keys()):
            inner = f"{path}.{name}".lstrip(".")
            yield f"{inner}: is new and required, and messages are kept that lack it"


def _alternatives(root: Schema, schema: Schema) -> dict[str, Schema]:
    """The kinds of value a schema takes, references followed."""
    if schema.reference:
        name = schema.reference.removeprefix("#/$defs/")
        return _alternatives(root, root.definitions[name])
    if schema.any_of:
        parts = [pair for each in schema.any_of for pair in _alternatives(root, each).items()]
        if len(dict(parts)) < len(parts):
            raise ValueError("two alternatives of one kind: changes of them cannot be judged")
        return dict(parts)
    kind = schema.type or "anything"
    return {f"{kind} ({schema.format})" if schema.format else kind: schema}


def _values(old: Schema, new: Schema, path: str) -> Iterator[str]:
    where = path or "the value"
    if old.enum and not new.enum:
        yield f"{where}: is no longer one of a few values"
    elif new.enum and not old.enum:
        yield f"{where}: is now one of a few values only"
    for value in old.enum:
        if new.enum and value not in new.enum:
            yield f"{where}: can no longer be {value!r}"


def _constraints(old: Schema, new: Schema, path: str) -> Iterator[str]:
    for keyword in sorted(old.limits.keys() | new.limits.keys()):
        before, after = (
            [each.limits[keyword]] if keyword in each.limits else [] for each in (old, new)
        )
        if before != after:
            yield f"{path or 'the value'}: its {keyword!r} changed"
