"""The table of safeguards is true of this tree, and whoever tries its rows is not easily fooled."""

from __future__ import annotations

import ast
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest

from tests.ablations.copies import Tree
from tests.ablations.page import PAGE, written
from tests.ablations.table import EditError, Safeguard, safeguards
from tests.ablations.trial import tried
from tests.support.project.tree import ROOT

if TYPE_CHECKING:
    from pathlib import Path

_ROWS: Final = safeguards()


def test_every_text_is_in_its_file_once() -> None:
    """So that each edit removes what its row says; what is left is still Python."""
    for row in _ROWS:
        edited = row.removed_from((ROOT / row.file).read_text("utf-8"))
        if row.file.endswith(".py"):
            ast.parse(edited, row.name)


def test_every_safeguard_has_its_own_name() -> None:
    """Names choose rows."""
    assert len({row.name for row in _ROWS}) == len(_ROWS)


def test_every_named_test_can_be_collected() -> None:
    """A test that was renamed, or runs by itself no more, is missed here and not months later."""
    named = sorted({test for row in _ROWS for test in row.tests})
    collected = subprocess.run(  # noqa: S603 - our own interpreter
        (sys.executable, "-m", "pytest", "--collect-only", "--quiet", *named),
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    ).stdout
    found = set(collected.splitlines()) | {line.split("[")[0] for line in collected.splitlines()}
    files = {line.split("::")[0] for line in found}
    assert [test for test in named if test not in found | files] == [], collected[-2000:]


def test_the_page_is_the_table() -> None:
    """`make ablations ARGS=--write` after every change of the table."""
    assert (ROOT / PAGE).read_text("utf-8") == written(_ROWS)


# A program of one module under a name that the interpreter knows from elsewhere, and its tests.
_SMALL: Final = {
    "pyproject.toml": "[tool.pytest.ini_options]\n",
    "payments/__init__.py": "def may_spend(balance, amount):\n    return amount <= balance\n",
    "tests/test_spending.py": """\
import subprocess, sys, threading

import payments
import pytest


def test_nobody_spends_what_is_not_there():
    assert not payments.may_spend(1, 2)


def test_what_is_there_may_be_spent():
    assert payments.may_spend(2, 1)


def test_a_process_elsewhere_lets_it_be_spent(tmp_path):
    asked = "import payments, sys; sys.exit(not payments.may_spend(1, 2))"
    assert subprocess.run([sys.executable, "-c", asked], cwd=tmp_path).returncode == 0


def test_nobody_waits_for_what_is_not_there():
    while payments.may_spend(1, 2):
        threading.Event().wait(60)


@pytest.fixture
def purse():
    assert not payments.may_spend(1, 2)


def test_with_a_purse(purse):
    pass
""",
}
_GUARD: Final = Safeguard(
    name="cap",
    chapter="Spending",
    guard="nobody spends more than there is",
    protects="a balance",
    file="payments/__init__.py",
    text="amount <= balance",
    instead="amount > 0",
    tests=(),
    only_saves_work=False,
)
_TESTS: Final = "tests/test_spending.py"


@pytest.fixture
def small(tmp_path: Path) -> Tree:
    """The small program's tree."""
    for name, text in _SMALL.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    files = [path.relative_to(tmp_path) for path in tmp_path.rglob("*.*") if path.is_file()]
    return Tree(tmp_path, files)


def test_a_guard_that_is_missed_behaves(small: Tree) -> None:
    """It is gone from the copy, and still there in the tree."""
    red = f"{_TESTS}::test_nobody_spends_what_is_not_there"
    assert list(tried(_GUARD, (red,), small).complaints) == []
    assert "amount <= balance" in (small.root / _GUARD.file).read_text()


@pytest.mark.parametrize(
    ("test", "complaint"),
    [
        ("test_what_is_there_may_be_spent", "is passed, not failed"),
        ("test_with_a_purse", "is error, not failed"),
        ("test_that_is_not_there", "no test was judged"),
    ],
)
def test_a_guard_that_no_test_misses_is_complained_of(
    small: Tree, test: str, complaint: str
) -> None:
    """Green, an error of a fixture and a test that is gone are none of them red."""
    (found,) = tried(_GUARD, (f"{_TESTS}::{test}",), small).complaints
    assert complaint in found


def test_processes_that_a_test_starts_run_the_copy_too(small: Tree) -> None:
    """Wherever they start, and though the interpreter knows another package of that name."""
    luxury = replace(_GUARD, only_saves_work=True)
    elsewhere = f"{_TESTS}::test_a_process_elsewhere_lets_it_be_spent"
    assert list(tried(luxury, (elsewhere,), small).complaints) == []


def test_a_run_that_does_not_end_is_not_red(small: Tree) -> None:
    """It is ended, and complained of."""
    waiting = f"{_TESTS}::test_nobody_waits_for_what_is_not_there"
    found = tried(_GUARD, (waiting,), small, each_within_s=3.0).complaints
    assert list(found) == ["it did not end in time"]


def test_what_only_saves_work_must_leave_all_green(small: Tree) -> None:
    """The other way round: the first test that fails is complained of."""
    luxury = replace(_GUARD, only_saves_work=True)
    names = ("test_what_is_there_may_be_spent", "test_nobody_spends_what_is_not_there")
    (found,) = tried(luxury, [f"{_TESTS}::{name}" for name in names], small).complaints
    assert "test_nobody_spends_what_is_not_there is failed, not passed" in found


@pytest.mark.parametrize("text", ["nothing of it", "a"])
def test_a_row_that_has_rotted_is_not_tried(small: Tree, text: str) -> None:
    """Its text is gone, or is there more than once."""
    with pytest.raises(EditError, match="not once"):
        tried(replace(_GUARD, text=text), (_TESTS,), small)
