"""Every command and statement in the documents: as code within a line, or a line of a block."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING, Final

import click

from cli.__main__ import main
from tests.support.project.tree import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

_DOCUMENTS: Final = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
_BLOCK: Final = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_INLINE: Final = re.compile(r"`([^`\n]+)`")
_OURS: Final = re.compile(r"(?:\.venv/bin/)?payments ([a-z].*)")
_STATEMENT: Final = re.compile(r"(?:SELECT|ALTER|UPDATE|DELETE|INSERT) .+")


def commands() -> list[str]:
    """The words after `payments`, each once, in the order of the documents."""
    found = (_OURS.fullmatch(each) for each in _code())
    return list(dict.fromkeys(each[1] for each in found if each is not None))


def statements() -> list[str]:
    """What is to be said to Postgres, each once."""
    return list(dict.fromkeys(each for each in _code() if _STATEMENT.fullmatch(each)))


def words_of(command: str) -> list[str]:
    """As a shell gives them to the command, substitutions included."""
    said = subprocess.run(  # noqa: S603 - out of our own documents
        ("/bin/bash", "-c", f'payments() {{ printf "%s\\n" "$@"; }}; payments {command}'),
        capture_output=True,
        text=True,
        check=True,
    )
    return said.stdout.splitlines()


def is_named_only(words: list[str]) -> bool:
    """Whether these are a group, or a command without what it must be given."""
    found: click.Command | None = main
    for word in words:
        if not isinstance(found, click.Group):
            return False
        found = found.get_command(click.Context(found), word)
    if found is None:
        return False
    return isinstance(found, click.Group) or any(each.required for each in found.params)


def _code() -> Iterator[str]:
    for path in _DOCUMENTS:
        text = path.read_text()
        for block in _BLOCK.findall(text):
            for line in block.splitlines()[1:-1]:
                yield line.partition("  #")[0].strip()
        yield from _INLINE.findall(_BLOCK.sub("", text))
