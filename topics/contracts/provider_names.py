"""The providers' names in what is said: whichever it is in a message, all there are in a document.

A message is read whatever provider it names, so that a new one stops no reader. A document lists
them: a schema has `PLACEHOLDER` where they come, and whoever composes the document the names.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Final, TypeVar

from pydantic import WithJsonSchema
from typing_extensions import TypeAliasType

from payments import payment

PLACEHOLDER: Final = "<provider>"

# An alias by name, so that every document defines it once and refers to it.
Provider = TypeAliasType(
    "Provider",
    Annotated[
        payment.Provider,
        WithJsonSchema(
            {
                "description": "The payment providers there is a gateway for.",
                "enum": [PLACEHOLDER],
                "title": "Provider",
                "type": "string",
            }
        ),
    ],
)

SchemaT = TypeVar("SchemaT")


def with_providers(schemas: Mapping[str, SchemaT], names: Sequence[str]) -> dict[str, SchemaT]:
    """The schemas with the names where the placeholder stands."""
    text = json.dumps(schemas).replace(json.dumps(PLACEHOLDER), json.dumps(names)[1:-1])
    filled: dict[str, SchemaT] = json.loads(text)
    return filled
