"""Which file of ours imports which, and where that leads back to its beginning.

Read from the source, so that an import counts wherever it stands: at the top, in a function, or
for the type checker only. `from package import name` is an import of the module `package.name` if
there is one, else of the package's `__init__`; the packages around a module are not its imports,
so that an `__init__` may gather the names of what lies beside it.
"""

import ast
from collections.abc import Iterable, Mapping
from pathlib import Path

Imports = Mapping[str, frozenset[str]]


def imports_of(files: Iterable[Path], root: Path) -> Imports:
    """Each module with those of `files` it imports; modules are named from `root` on."""
    sources = {_module(file.relative_to(root)): file.read_text() for file in files}
    return {
        module: frozenset(_imported(source, frozenset(sources)) - {module})
        for module, source in sources.items()
    }


def circles(imports: Imports) -> set[frozenset[str]]:
    """The largest sets of modules of which each imports, at last, every other."""
    reached = {module: _reached(module, imports) for module in imports}
    return {
        frozenset(other for other in reached[module] if module in reached[other])
        for module in imports
        if module in reached[module]
    }


def _module(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imported(source: str, modules: frozenset[str]) -> set[str]:
    imported: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                imported |= {each.name for each in names}
            case ast.ImportFrom(module=str(package), names=names):
                inner = {f"{package}.{each.name}" for each in names}
                imported |= inner if inner <= modules else {*inner, package}
            case _:
                continue
    return imported & modules


def _reached(module: str, imports: Imports) -> set[str]:
    reached: set[str] = set()
    waiting = list(imports[module])
    while waiting:
        found = waiting.pop()
        if found not in reached:
            reached.add(found)
            waiting += imports[found]
    return reached
