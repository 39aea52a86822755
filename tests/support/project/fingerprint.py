"""What the code looks like in figures: lengths of modules and functions, arguments, escapes.

`measure` reads Python files and judges nothing; `python -m tests.support.project.fingerprint`
prints the figures of the packages and of the tests.
"""

import ast
import statistics
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from tests.support.project.tree import PACKAGES, ROOT, tracked_files


@dataclass(frozen=True, slots=True)
class Function:
    """A function or method; its lines count from `def` to its end, `self` is no argument."""

    where: str
    lines: int
    arguments: int


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The figures of a set of modules; `modules` are their lengths in lines."""

    modules: dict[str, int]
    functions: tuple[Function, ...]
    any_count: int
    broad_except_count: int

    @property
    def lines(self) -> int:
        return sum(self.modules.values())

    def per_thousand_lines(self, count: int) -> float:
        return count * 1_000 / max(self.lines, 1)


def measure(files: Iterable[Path]) -> Fingerprint:
    """Raises SyntaxError for a file that is no Python."""
    modules: dict[str, int] = {}
    functions: list[Function] = []
    any_count = broad_except_count = 0
    for file in files:
        text = file.read_text()
        modules[str(file)] = len(text.splitlines())
        for node in ast.walk(ast.parse(text, str(file))):
            match node:
                case ast.FunctionDef() | ast.AsyncFunctionDef():
                    functions.append(_function(file, node))
                case ast.Name(id="Any") | ast.Attribute(attr="Any"):
                    any_count += 1
                case ast.ExceptHandler(type=caught):
                    broad_except_count += _is_broad(caught)
                case _:
                    pass
    return Fingerprint(modules, tuple(functions), any_count, broad_except_count)


def percentile(values: Iterable[int], share: float) -> int:
    """The smallest value that at least `share` of all values do not exceed; 0 of none."""
    ordered = sorted(values)
    return ordered[max(ceil(len(ordered) * share) - 1, 0)] if ordered else 0


def python_files(*folders: str) -> Iterator[Path]:
    """The tracked Python files below some top-level folders."""
    return (
        ROOT / path for path in tracked_files() if path.suffix == ".py" and path.parts[0] in folders
    )


def _function(file: Path, node: ast.FunctionDef | ast.AsyncFunctionDef) -> Function:
    arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    named = [argument for argument in arguments if argument.arg not in {"self", "cls"}]
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    return Function(f"{file}:{node.lineno} {node.name}", lines, len(named))


def _is_broad(caught: ast.expr | None) -> bool:
    match caught:
        case None:
            return True
        case ast.Tuple(elts=several):
            return any(_is_broad(each) for each in several)
        case ast.Name(id=name):
            return name in {"Exception", "BaseException"}
        case _:
            return False


def _describe(name: str, figures: Fingerprint) -> str:
    lengths = [function.lines for function in figures.functions]
    modules = list(figures.modules.values())
    return (
        f"{name}: {figures.lines} lines; modules median {statistics.median(modules or [0]):.0f},"
        f" p90 {percentile(modules, 0.9)}, max {max(modules, default=0)}; functions median"
        f" {statistics.median(lengths or [0]):.0f}, p90 {percentile(lengths, 0.9)},"
        f" max {max(lengths, default=0)}; Any {figures.any_count},"
        f" broad except {figures.broad_except_count}"
    )


if __name__ == "__main__":
    for name, folders in (("packages", PACKAGES), ("tests", ("tests",))):
        sys.stdout.write(_describe(name, measure(python_files(*folders))) + "\n")
