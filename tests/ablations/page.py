"""`docs/SAFEGUARDS.md`, written from the table: a function of it, with nothing of a run in it."""

from __future__ import annotations

from difflib import ndiff
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.ablations.table import Safeguard

PAGE: Final = Path("docs") / "SAFEGUARDS.md"

_HEAD: Final = """\
# Safeguards

Each promise rests on a guard somewhere, and a guard that no test would miss is soon gone. So there
is a table, `tests/ablations/*.toml`: for each safeguard the smallest edit that removes it, and the
tests that then fail. `make ablations` removes them one at a time, each from a copy of the tree of
its own, and complains of every test that stays green, or does not run (`ARGS="lease hold"` tries
some of them). A test keeps the table's texts and names true, and this page equal to the table, from
which it is written (`make ablations ARGS=--write`).
"""
_COLUMNS: Final = """\
| safeguard | what it protects | removed by | goes red |
|---|---|---|---|
"""


def written(rows: Sequence[Safeguard]) -> str:
    """The page."""
    chapters = groupby(rows, key=attrgetter("chapter"))
    return "\n".join([_HEAD, *(_chapter(title, list(group)) for title, group in chapters)])


def _chapter(title: str, rows: Sequence[Safeguard]) -> str:
    return f"## {title}\n\n{_COLUMNS}" + "".join(map(_line, rows))


def _line(row: Safeguard) -> str:
    tests = "<br>".join(f"`{_short(test)}`" for test in row.tests)
    if row.only_saves_work:
        tests = f"nothing: every other file's test on this page stays green, and {tests}"
    guard = f"**{row.name}**: {row.guard}"
    removed = f"`{row.file}`<br>{'<br>'.join(_changes(row))}"
    return f"| {guard} | {row.protects} | {removed} | {tests} |\n"


def _changes(row: Safeguard) -> Iterator[str]:
    """The lines that go and those that come, as code; a cell of a table has no lines."""
    for line in ndiff(row.text.splitlines(), row.instead.splitlines()):
        if line[0] in "-+" and line[2:].strip():
            code = f"{line[0]} {line[2:].strip()}".replace("|", "\\|")
            yield f"``{code}``" if "`" in code else f"`{code}`"


def _short(test: str) -> str:
    """A node id without what all of them have in common."""
    return test.removeprefix("tests/").replace("|", "\\|")
