"""Every statement, by name, read once from `sql/*.sql`.

SQL is source: static, formatted, reviewed where it stands. A statement begins with
`-- name: what_it_does`; its parameters have names too (`:status`), which become `$1`,
`$2`, ... here, and nothing is ever spliced into it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAME: Final = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
# Not the second colon of a cast, nor the one in a format of times.
_PARAMETER: Final = re.compile(r"(?<![:\w]):([a-z]\w*)")


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL as Postgres takes it, and what its `$1`, `$2`, ... are called, in this order."""

    text: str
    parameters: tuple[str, ...]


@cache
def queries() -> Mapping[str, Statement]:
    """All statements by name. Raises ValueError when two have one name."""
    found: dict[str, Statement] = {}
    for source in sorted(files("store").joinpath("sql").iterdir(), key=lambda each: each.name):
        if source.name.endswith(".sql"):
            _preamble, *parts = _NAME.split(source.read_text("utf-8"))
            for name, body in zip(parts[::2], parts[1::2], strict=True):
                if name in found:
                    raise ValueError(f"two statements are named {name}")
                found[name] = _statement(body.strip())
    return MappingProxyType(found)


def query(name: str) -> str:
    """The text of one statement. Raises KeyError for a name there is none of."""
    return queries()[name].text


def bound(name: str, /, **arguments: object) -> tuple[str, *tuple[object, ...]]:
    """A statement's text and its arguments in its order, for `fetch(*bound(...))`.

    Raises TypeError if these are not the parameters it has.
    """
    statement = queries()[name]
    if arguments.keys() != set(statement.parameters):
        raise TypeError(f"{name} takes {statement.parameters}, not {tuple(arguments)}")
    return statement.text, *(arguments[each] for each in statement.parameters)


def _statement(body: str) -> Statement:
    names = tuple(dict.fromkeys(_PARAMETER.findall(body)))
    numbers = {name: f"${number}" for number, name in enumerate(names, 1)}
    return Statement(_PARAMETER.sub(lambda found: numbers[found[1]], body), names)
