"""Names that others chose, as they are shown: what could not be read, or would act, is escaped."""

from __future__ import annotations

from typing import Final

# Redis takes a name of half a gigabyte, and each name is a label, a cell and a line.
_LENGTH_MAX: Final = 120


def shown(name: bytes | str) -> str:
    """The name as one short line of printable characters; a name of ours is as it was."""
    text = name.decode("utf-8", "backslashreplace") if isinstance(name, bytes) else name
    text = text[: _LENGTH_MAX + 1]
    text = "".join(each if each.isprintable() else _escaped(each) for each in text)
    return text if len(text) <= _LENGTH_MAX else f"{text[: _LENGTH_MAX - 1]}\N{HORIZONTAL ELLIPSIS}"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
