"""What the documents name is there: a path that moved is mended where it is told of."""

import re
import tomllib
from pathlib import Path, PurePosixPath
from typing import Final

import pytest

from tests.support.project.tree import ROOT, tracked_files

DOCUMENTS: Final = ("README.md", "docs/ARCHITECTURE.md")
# Made by what the documents tell to run.
MADE: Final = frozenset({".payments/"})
FOLDERS: Final = frozenset(folder for path in tracked_files() for folder in path.parents)
PATHS: Final = frozenset(tracked_files()) | FOLDERS
NAMES: Final = frozenset(path.name for path in tracked_files())
SUFFIXES: Final = frozenset(path.suffix for path in tracked_files()) - {""}


def _paths(text: str) -> set[str]:
    """What stands in backticks and is a path: it has a slash, or ends like a file of ours."""
    quoted = re.findall(r"`([\w.*-][\w./*-]*)`", text)
    return {each for each in quoted if "/" in each or PurePosixPath(each).suffix in SUFFIXES}


def _is_there(named: str) -> bool:
    if "*" in named:
        return any(path.match(named) for path in tracked_files())
    return Path(named) in PATHS or ("/" not in named and named in NAMES)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_path_named_is_there(document: str) -> None:
    """From the root on; a bare file name, said after its folder, is somewhere."""
    named = _paths((ROOT / document).read_text()) - MADE
    assert len(named) > 10
    assert {each for each in named if not _is_there(each)} == set()


def test_every_link_leads_somewhere() -> None:
    """Relative to its document, as a browser follows it."""
    documents = [ROOT / path for path in tracked_files() if path.suffix == ".md"]
    links = [
        (file, link)
        for file in documents
        for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", file.read_text())
    ]
    assert len(links) > 50
    assert [str(link) for file, link in links if not (file.parent / link).exists()] == []


def test_the_table_of_rooms_says_what_the_contracts_hold() -> None:
    """Who may import whom is told to the reader as import-linter is told it."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    held = {
        room: set(contract["may_import"])
        for contract in contracts["contracts"]
        for room in contract.get("rooms", ())
        if {Path(room.replace(".", "/")), Path(f"{room.replace('.', '/')}.py")} & PATHS
    }
    # The commands import anything, so no contract holds them.
    assert _rooms((ROOT / "docs/ARCHITECTURE.md").read_text()) == held | {"cli": set()}


def _rooms(text: str) -> dict[str, set[str]]:
    """By room, what the document says that it may import."""
    _, table = text.split("| room | is | may import |\n|---|---|---|\n")
    rows = [row.split(" | ") for row in table.split("\n\n")[0].splitlines()]
    return {
        room.rstrip("/").removesuffix(".py").replace("/", "."): set(re.findall(r"`(.+?)`", may))
        for rooms, _, may in rows
        for room in re.findall(r"`(.+?)`", rooms)
    }
