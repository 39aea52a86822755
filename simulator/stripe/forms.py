"""Stripe's form encoding: `a[b]=1&c[]=2` to nested values, then read by name and type.

A parameter the endpoint does not know is refused by name before anything else happens.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, TypeAlias
from urllib.parse import parse_qsl

from simulator.stripe import failures

Param: TypeAlias = str | list["Param"] | dict[str, "Param"]
Params: TypeAlias = dict[str, Param]

_NAME: Final = re.compile(r"\[([^\[\]]*)\]")
_INTEGER: Final = re.compile(r"-?[0-9]{1,18}")
# Stripe's limits on metadata.
_METADATA_KEYS_MAX: Final = 50
_METADATA_KEY_LENGTH_MAX: Final = 40
_METADATA_VALUE_LENGTH_MAX: Final = 500


def parse(encoded: str) -> Params:
    """Nested parameters of a form body or query string."""
    params: Params = {}
    for name, value in parse_qsl(encoded, keep_blank_values=True):
        head, bracket, _ = name.partition("[")
        _place(params, [head, *(_NAME.findall(name) if bracket else [])], value)
    return params


def _place(params: Params, path: list[str], value: str) -> None:
    node = params
    for step, following in pairwise(path):
        child = node.get(step)
        if not isinstance(child, dict):
            child = node[step] = {}
        step_is_list = following == ""
        node = child
        if step_is_list:
            node[str(len(node))] = value
            return
    node[path[-1]] = value


@dataclass(frozen=True, slots=True)
class Form:
    """Parameters of one request, read by name; every reader raises Stripe's own refusal."""

    params: Params

    def allow(self, names: Collection[str]) -> None:
        """Refuse the first parameter that is not one of these."""
        for name in self.params:
            if name not in names:
                raise failures.invalid(
                    f"Received unknown parameter: {name}", param=name, code="parameter_unknown"
                )

    def text(self, name: str) -> str | None:
        """A string; the empty string unsets, so it reads as absent."""
        value = self.params.get(name)
        if value is None or value == "":
            return None
        if not isinstance(value, str):
            raise failures.invalid("Invalid string", param=name)
        return value

    def required(self, name: str) -> str:
        """A string that must be there."""
        value = self.text(name)
        if value is None:
            raise failures.missing(name)
        return value

    def choice(self, name: str, choices: tuple[str, ...]) -> str | None:
        """One of a closed set of strings."""
        value = self.text(name)
        if value is not None and value not in choices:
            listed = ", ".join(choices[:-1]) + f", or {choices[-1]}"
            raise failures.invalid(f"Invalid {name}: must be one of {listed}", param=name)
        return value

    def integer(self, name: str) -> int | None:
        """A whole number."""
        value = self.text(name)
        if value is None:
            return None
        if not _INTEGER.fullmatch(value):
            raise failures.invalid(
                f"Invalid integer: {value}", param=name, code="parameter_invalid_integer"
            )
        return int(value)

    def flag(self, name: str) -> bool | None:
        """A boolean, written `true` or `false`."""
        value = self.text(name)
        if value is None:
            return None
        if value not in ("true", "false"):
            raise failures.invalid(f"Invalid boolean: {value}", param=name)
        return value == "true"

    def mapping(self, name: str) -> Params:
        """A nested object, empty when absent."""
        value = self.params.get(name)
        if value is None or value == "":
            return {}
        if not isinstance(value, dict):
            raise failures.invalid("Invalid object", param=name)
        return value

    def names(self, name: str) -> tuple[str, ...]:
        """A list of strings, however its indices were written."""
        if name not in self.params:
            return ()
        return tuple(value for value in self.mapping(name).values() if isinstance(value, str))

    def merged_metadata(self, before: Mapping[str, str]) -> dict[str, str]:
        """What there was with what is said now; an empty text unsets one key, or all of them."""
        if self.params.get("metadata") == "":
            return {}
        named = self.mapping("metadata")
        kept = {key: value for key, value in before.items() if key not in named}
        return kept | self.metadata()

    def metadata(self) -> dict[str, str]:
        """Checked metadata; an empty value unsets its key."""
        pairs = self.mapping("metadata")
        if len(pairs) > _METADATA_KEYS_MAX:
            raise failures.invalid(
                f"You can specify up to {_METADATA_KEYS_MAX} metadata keys.", param="metadata"
            )
        return {key: _metadata_value(key, value) for key, value in pairs.items() if value != ""}


def _metadata_value(key: str, value: Param) -> str:
    param = f"metadata[{key}]"
    if not isinstance(value, str):
        raise failures.invalid("Metadata values must be strings", param=param)
    if len(key) > _METADATA_KEY_LENGTH_MAX:
        raise failures.invalid(
            f"Metadata keys can have up to {_METADATA_KEY_LENGTH_MAX} characters.", param=param
        )
    if len(value) > _METADATA_VALUE_LENGTH_MAX:
        raise failures.invalid(
            f"Metadata values can have up to {_METADATA_VALUE_LENGTH_MAX} characters, but you "
            f"passed in a value that is {len(value)} characters.",
            param=param,
        )
    return value
