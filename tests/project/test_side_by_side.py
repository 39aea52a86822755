"""Tests side by side: what stays together, what comes first, and what a run tells of a death."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.project.tree import ROOT, tracked_files
from tests.support.side_by_side import HOUSEHOLDS, Household, places, unit

if TYPE_CHECKING:
    from pathlib import Path

_DYING = """
import os

def test_that_is_well():
    assert True

def test_that_dies():
    os.abort()

def test_that_comes_after():
    assert True
"""
_HANGING = """
import time

def test_that_hangs():
    time.sleep(3)
"""


@pytest.mark.parametrize("household", HOUSEHOLDS, ids=lambda household: household.fixture)
def test_a_household_is_of_files_there_are(household: Household) -> None:
    """None of them was moved without it."""
    assert household.files <= {path.as_posix() for path in tracked_files()}
    assert {unit(f"{file}::test") for file in household.files} == {household.folder}


def test_nobody_starts_for_itself_what_others_share() -> None:
    """A file of the folder that uses the fixture belongs to the household; others may name it."""
    shared = Household("stack", "tests/slow/", ("test_one",))
    assert shared.misses("tests/slow/test_two.py::test", ["stack"])
    assert not shared.misses("tests/slow/test_two.py::test", ["other"])
    assert not shared.misses("tests/slow/test_one.py::test", ["stack"])
    assert not shared.misses("tests/quick/test_two.py::test", ["stack"])


def test_what_takes_minutes_begins_first() -> None:
    """Households, then files of many tests, then of few; what has no servers at the end."""
    nodeids = [
        "tests/unit/test_many.py::test[1]",
        "tests/unit/test_many.py::test[2]",
        "tests/project/test_few.py::test",
        "tests/integration/test_few.py::test",
        "tests/integration/test_many.py::test[1]",
        "tests/integration/test_many.py::test[2]",
        "tests/acceptance/test_fault_matrix.py::test",
        "tests/acceptance/test_topics.py::test",
    ]
    files = dict.fromkeys(each.partition("::")[0] for each in sorted(nodeids, key=places(nodeids)))
    assert list(files) == [
        "tests/acceptance/test_topics.py",
        "tests/integration/test_many.py",
        "tests/acceptance/test_fault_matrix.py",
        "tests/integration/test_few.py",
        "tests/project/test_few.py",
        "tests/unit/test_many.py",
    ]


def test_a_death_of_a_worker_is_told(tmp_path: Path) -> None:
    """Which test it was and where it stood; the others are run, and the last line counts them."""
    (tmp_path / "test_dying.py").write_text(_DYING)
    (tmp_path / "test_hanging.py").write_text(_HANGING)
    run = subprocess.run(  # noqa: S603 - our own interpreter
        (
            *(sys.executable, "-m", "pytest", "-n", "2", "--rootdir", tmp_path, tmp_path),
            *("-p", "tests.support.side_by_side", "-o", "faulthandler_timeout=1"),
        ),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert "test_dying.py::test_that_dies" in run.stdout
    assert "in test_that_dies" in run.stderr
    assert "in test_that_hangs" in run.stderr
    assert "1 failed, 3 passed" in run.stdout.splitlines()[-1]
