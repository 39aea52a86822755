"""The table of safeguards: what each protects, the edit that removes it, the tests that show it.

It lives in the TOML files beside this module, one a chapter of `docs/SAFEGUARDS.md`. An edit
replaces one text by another in one file, and is the smallest that removes the guard and leaves
a program that runs.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# In the order in which a reader wants them.
_CHAPTERS: Final = (
    *(
        "work",
        "money",
        "ingress",
        "console",
        "topics",
        "consumers",
        "feed",
        "providers",
        "processes",
        "evidence",
    ),
)


class EditError(Exception):
    """The text a row replaces is not in its file exactly once: the table has rotted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Safeguard:
    """One row. `tests` are pytest's node ids; a node without parameters stands for all its cases.

    Without the safeguard each of `tests` must fail, unless it `only_saves_work`: then they, and
    the tests of every other safeguard, must pass.
    """

    name: str
    chapter: str
    guard: str
    protects: str
    file: str
    text: str
    instead: str
    tests: tuple[str, ...]
    only_saves_work: bool

    def removed_from(self, source: str) -> str:
        """The file's content without the safeguard. Raises EditError."""
        found = source.count(self.text)
        if found != 1 or self.text == self.instead:
            raise EditError(f"{self.name}: the text is {found} times in {self.file}, not once")
        return source.replace(self.text, self.instead)


def safeguards() -> Sequence[Safeguard]:
    """All rows, chapter by chapter."""
    return [
        row for chapter in _CHAPTERS for row in _rows(Path(__file__).parent / f"{chapter}.toml")
    ]


def expected_red(row: Safeguard, rows: Sequence[Safeguard]) -> tuple[str, ...]:
    """What to run without this safeguard: its tests, and all others' too if it only saves work."""
    if not row.only_saves_work:
        return row.tests
    # A row of the same file shows the work that is saved.
    safety = (test for each in rows if each.file != row.file for test in each.tests)
    return tuple(dict.fromkeys((*safety, *row.tests)))


def _rows(path: Path) -> Iterator[Safeguard]:
    table = tomllib.loads(path.read_text("utf-8"))
    for row in table["safeguard"]:
        yield Safeguard(
            name=row["name"],
            chapter=table["chapter"],
            guard=row["guard"],
            protects=row["protects"],
            file=row["file"],
            text=row["text"],
            instead=row["instead"],
            tests=tuple(row.get("red") or row["green"]),
            only_saves_work="green" in row,
        )
