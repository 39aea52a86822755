"""The JSON Schemas in `schemas/`, one file for each version of a payload, made from the models.

A file is what a reader of its version may rely on, whenever the message was written; so it is
made for reading (a field with a default may be absent). It is never written anew with less.
"""

import json
from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Final

from pydantic import JsonValue

from topics.contracts.catalogue import PAYLOADS, Payload
from topics.contracts.compatibility import Schema, incompatibilities
from topics.contracts.provider_names import with_providers

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


class IncompatibleSchema(Exception):
    """A model no longer keeps what its committed schema promises; says what, and the way on."""

    def __init__(self, payload: Payload, breaks: Iterable[str]) -> None:
        following = f"{payload.name}.v{payload.version + 1}"
        lines = "".join(f"\n  {each}" for each in breaks)
        super().__init__(
            f"{payload.model.__name__} is no longer compatible with {payload.label}.json:{lines}\n"
            "Messages of that version are on the topics and in other people's programs. Take the\n"
            f"change back, or make {following}: leave {payload.label}.json as it is, set the\n"
            f"payload's version to {payload.version + 1} in topics/contracts/catalogue.py, run\n"
            "`payments asyncapi --schemas topics/contracts/schemas`, and give its messages a\n"
            "`ce_dataschema` header, for a message without one is of version 1."
        )


def schema_of(payload: Payload, providers: Sequence[str]) -> dict[str, JsonValue]:
    """The payload's JSON Schema, draft 2020-12, where there are these providers."""
    schema = with_providers(payload.model.model_json_schema(), providers)
    return {"$schema": _DIALECT, "$id": identity(payload), **schema}


def identity(payload: Payload) -> str:
    """The schema's name for machines: what `ce_dataschema` would say."""
    return f"urn:payments:schema:{payload.label}"


def text_of(payload: Payload, providers: Sequence[str]) -> str:
    """The content of the payload's file."""
    return json.dumps(schema_of(payload, providers), indent=2) + "\n"


def committed(payload: Payload) -> str:
    """The file as it is committed. Raises FileNotFoundError for a version that has none."""
    return files("topics.contracts").joinpath("schemas", _file_name(payload)).read_text("utf-8")


def require_compatible(payload: Payload, promised: str, providers: Sequence[str]) -> None:
    """Raises IncompatibleSchema unless the model keeps what the schema `promised` says."""
    breaks = incompatibilities(
        Schema.model_validate_json(promised),
        Schema.model_validate_json(text_of(payload, providers)),
    )
    if breaks:
        raise IncompatibleSchema(payload, breaks)


def write(directory: Path, providers: Sequence[str]) -> list[Path]:
    """Write every payload's file; raises IncompatibleSchema, before it writes any."""
    paths = {directory / _file_name(payload): payload for payload in PAYLOADS}
    for path, payload in paths.items():
        if path.exists():
            require_compatible(payload, path.read_text("utf-8"), providers)
    directory.mkdir(parents=True, exist_ok=True)
    for path, payload in paths.items():
        path.write_text(text_of(payload, providers), "utf-8")
    return list(paths)


def _file_name(payload: Payload) -> str:
    return f"{payload.label}.json"
