"""Who imports whom is a drawing without circles, and every room stands in it."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from grimp import ImportGraph

from tests.support.project.fingerprint import python_files
from tests.support.project.import_rules import AllowedImports
from tests.support.project.imports import circles, imports_of
from tests.support.project.tree import PACKAGES, ROOT


def test_no_two_files_import_each_other() -> None:
    """Not by way of others either: each file can be read, and moved, after what it imports."""
    assert circles(imports_of(python_files(*PACKAGES), ROOT)) == set()


def test_every_module_has_one_contract() -> None:
    """What stands in no contract could import anything; what stands in two, neither's."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    rooms = ["cli", *(room for each in contracts["contracts"] for room in each.get("rooms", ()))]
    found = {
        module: [room for room in rooms if module == room or module.startswith(f"{room}.")]
        for module in imports_of(python_files(*PACKAGES), ROOT)
    }
    assert {module for module, of in found.items() if len(of) != 1} == {"topics"}
    assert sorted(contracts["root_packages"]) == sorted(PACKAGES)


@pytest.mark.parametrize(
    ("process", "unneeded"),
    [
        ("agents", ("faust", "redis", "opentelemetry.sdk")),
        ("api", ("faust", "opentelemetry.exporter")),
        ("simulator", ("aiokafka", "asyncpg", "redis", "opentelemetry.sdk")),
    ],
)
def test_a_process_has_in_memory_what_all_of_its_kind_need(
    process: str, unneeded: tuple[str, ...]
) -> None:
    """What but some stages need, or nobody without a collector, they import when they need it."""
    told = f"import sys, {process}.__main__; print([n for n in {unneeded} if n in sys.modules])"
    ran = subprocess.run(  # noqa: S603 - this interpreter
        [sys.executable, "-c", told], cwd=ROOT, capture_output=True, check=True, text=True
    )
    assert ran.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"a.py": "import b", "b.py": "import c", "c.py": ""}, set()),
        ({"a.py": "import b", "b.py": "import c", "c.py": "from b import x"}, {"b c"}),
        ({"a.py": "def f():\n import b", "b.py": "import a"}, {"a b"}),
        (
            {
                "a.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n from b import B",
                "b.py": "from a import A",
            },
            {"a b"},
        ),
        # A package gathers its names; what lies in it imports what lies beside it.
        ({"p/__init__.py": "from p.a import A", "p/a.py": "from p import b", "p/b.py": ""}, set()),
        (
            {"p/__init__.py": "from p.a import A", "p/a.py": "from p.b import B", "p/b.py": ""},
            set(),
        ),
        ({"p/__init__.py": "from p.a import A", "p/a.py": "from p import B"}, {"p p.a"}),
        # Two circles that share no file are two.
        (
            {"a.py": "import b", "b.py": "import a", "c.py": "import d, a", "d.py": "import c"},
            {"a b", "c d"},
        ),
        ({"a.py": "import a, os"}, set()),
    ],
)
def test_a_circle_is_found_wherever_its_imports_stand(
    tmp_path: Path, files: dict[str, str], expected: set[str]
) -> None:
    """At the top, in a function, for the type checker, and by way of a package's entry."""
    for name, source in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(source)
    found = circles(imports_of((tmp_path / name for name in files), tmp_path))
    assert {" ".join(sorted(circle)) for circle in found} == expected


@pytest.mark.parametrize(
    ("importer", "imported", "kept"),
    [
        ("store.write", "store.read", True),
        ("store.write", "topics.names", True),
        ("store.write", "topics.contracts.envelope", True),
        ("store.write", "topics.relay", False),
        ("store.write", "topics", False),
        ("store.write", "storefront", False),
        ("store.write", "json", True),
        ("store.write", "asyncio", False),
        ("store.__main__", "topics.relay", True),
        ("agents", "topics.relay", True),
    ],
)
def test_what_a_contract_does_not_allow_it_forbids(
    importer: str,
    imported: str,
    kept: bool,  # noqa: FBT001 - the table's last column
) -> None:
    """Other rooms, a longer name that begins alike, a library, a composition; nobody else's."""
    contract = AllowedImports(
        name="store",
        session_options={},
        contract_options={
            "rooms": ["store"],
            "may_import": ["topics.contracts", "topics.names"],
            "libraries": ["json"],
        },
    )
    graph = ImportGraph()
    for module in (importer, imported):
        graph.add_module(module, is_squashed=module in {"json", "asyncio"})
    graph.add_import(importer=importer, imported=imported)
    assert contract.check(graph, verbose=False).kept is kept
