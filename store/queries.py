"""Every statement, by name, read once from `sql/*.sql`.

SQL is source: static, formatted, reviewed where it stands. A statement begins with
`-- name: what_it_does`; its parameters are `$1`, `$2`, ... and nothing is ever
spliced into it.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAME: Final = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


@cache
def queries() -> Mapping[str, str]:
    """All statements by name. Raises ValueError when two have one name."""
    found: dict[str, str] = {}
    for source in sorted(files("store").joinpath("sql").iterdir(), key=lambda each: each.name):
        if source.name.endswith(".sql"):
            for name, text in _statements(source.read_text("utf-8")):
                if name in found:
                    raise ValueError(f"two statements are named {name}")
                found[name] = text
    return MappingProxyType(found)


def query(name: str) -> str:
    """One statement. Raises KeyError for a name there is none of."""
    return queries()[name]


def _statements(text: str) -> list[tuple[str, str]]:
    _preamble, *parts = _NAME.split(text)
    return [(name, body.strip()) for name, body in zip(parts[::2], parts[1::2], strict=True)]
