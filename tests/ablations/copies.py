"""A copy of the tree to edit: the tracked files in a temporary folder, with a safeguard removed.

What runs there must be the copy's code, in child processes too, although the interpreter is
shared and knows another tree (an editable install). `PYTHONPATH` comes before that; whether it
does is asked of a child process in a folder of its own, for every copy.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.support.environment import roomy_memory

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.ablations.table import Safeguard

_WHERE: Final = (
    "import importlib.util as found, sys\n"
    "for name in sys.argv[1:]: print(found.find_spec(name).origin)"
)


class ForeignCode(Exception):
    """A process of the copy would run another tree's code: nothing it shows would be true."""


@dataclass(frozen=True, slots=True)
class Tree:
    """A work tree: its folder, and the files in it that count, relative to it."""

    root: Path
    files: Sequence[Path]

    @property
    def packages(self) -> list[str]:
        """The top-level packages, by name."""
        return [path.parts[0] for path in self.files if path.parts[1:] == ("__init__.py",)]


@dataclass(frozen=True, slots=True)
class Copy:
    """`folder` is all of it; the tree is a folder below."""

    folder: Path

    @property
    def tree(self) -> Path:
        return self.folder / "tree"

    @property
    def environment(self) -> Mapping[str, str]:
        """Ours, but that Python finds this tree before any other."""
        ours = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
        return {**ours, "PYTHONPATH": str(self.tree)}


@contextmanager
def copy_of(tree: Tree) -> Iterator[Copy]:
    """A copy of the tree, to edit. Raises ForeignCode."""
    with tempfile.TemporaryDirectory(prefix="ablation-", dir=roomy_memory()) as folder:
        copy = Copy(Path(folder).resolve())
        for path in tree.files:
            (copy.tree / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(tree.root / path, copy.tree / path)
        _require_own_code(copy, tree.packages)
        yield copy


@contextmanager
def without(safeguard: Safeguard, tree: Tree) -> Iterator[Copy]:
    """A copy of the tree that lacks the safeguard. Raises EditError, ForeignCode."""
    with copy_of(tree) as copy:
        edited = copy.tree / safeguard.file
        edited.write_text(safeguard.removed_from(edited.read_text("utf-8")), "utf-8")
        yield copy


def _require_own_code(copy: Copy, packages: Sequence[str]) -> None:
    found = subprocess.run(  # noqa: S603 - our own interpreter
        (sys.executable, "-c", _WHERE, *packages),
        cwd=copy.folder,
        env=copy.environment,
        check=True,
        capture_output=True,
        text=True,
    )
    for origin in found.stdout.splitlines():
        if not Path(origin).resolve().is_relative_to(copy.tree):
            raise ForeignCode(f"{origin} would run instead of the copy in {copy.tree}")
