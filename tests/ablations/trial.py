"""Runs a row's tests on a tree without its safeguard, and judges whether the row behaves.

Red is a test that ran and failed: an error before or around it, a test that is not there, a
crash and a run that does not end in time are none, because they would show nothing of the guard.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from time import monotonic
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree as ET

import psutil
import pytest

from tests.ablations.copies import without

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tests.ablations.copies import Copy, Tree
    from tests.ablations.table import Safeguard

# A test takes seconds; the slowest wait half a minute for what will not come.
_EACH_WITHIN_S: Final = 120.0
# Teardown of a server and of a broker, on a machine that does other things as well.
_INTERRUPTED_WITHIN_S: Final = 30.0
_KILLED_WITHIN_S: Final = 10.0


class Outcome(StrEnum):
    """What became of one case of a test."""

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Report:
    """How pytest ended (None: it was ended), and each case by its node id."""

    code: int | None
    cases: Mapping[str, Outcome]
    printed: str


@dataclass(frozen=True, slots=True)
class Trial:
    """A row that was tried: what is wrong with it, which is nothing if it behaves."""

    safeguard: Safeguard
    seconds: float
    complaints: Sequence[str]
    printed: str


def tried(
    safeguard: Safeguard, tests: Sequence[str], tree: Tree, each_within_s: float = _EACH_WITHIN_S
) -> Trial:
    """Remove the safeguard from a copy of the tree and run the tests there. Raises EditError."""
    begun = monotonic()
    with without(safeguard, tree) as copy:
        report = _run(copy, tests, each_within_s * len(tests))
    found = complaints(report, tests, must_fail=not safeguard.only_saves_work)
    return Trial(safeguard, monotonic() - begun, found, report.printed)


def complaints(report: Report, tests: Sequence[str], *, must_fail: bool) -> list[str]:
    """Why the run is not what it must be: every test failed, or every one passed."""
    if report.code is None:
        return ["it did not end in time"]
    if report.code not in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}:
        return [f"pytest ended with {report.code}: no test was judged"]
    wanted = Outcome.FAILED if must_fail else Outcome.PASSED
    found = []
    for test in tests:
        outcomes = {outcome for name, outcome in report.cases.items() if _is_of(name, test)}
        # What this machine cannot run says nothing, where all are to pass.
        none_fails = outcomes == {Outcome.SKIPPED} or outcomes - {Outcome.SKIPPED} == {wanted}
        if not (wanted in outcomes if must_fail else none_fails):
            seen = ", ".join(sorted(outcomes)) or "not run"
            found.append(f"{test} is {seen}, not {wanted}")
    return found


def _is_of(case: str, test: str) -> bool:
    return case == test or case.startswith((f"{test}[", f"{test}::"))


def _run(copy: Copy, tests: Sequence[str], within_s: float) -> Report:
    results, said = copy.folder / "results.xml", copy.folder / "said"
    command = (
        *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--quiet", "--tb=short"),
        *(f"--junit-xml={results}", f"--basetemp={copy.folder / 'tmp'}", *tests),
    )
    with said.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter
            command, cwd=copy.tree, env=dict(copy.environment), stdout=output, stderr=output
        )
        code = _ended(process, within_s)
    cases = _cases(results) if code is not None and results.exists() else {}
    return Report(code, cases, said.read_text(errors="replace"))


def _ended(process: subprocess.Popen[bytes], within_s: float) -> int | None:
    """The exit code; None for a run that had to be ended, with whatever it had started."""
    try:
        return process.wait(within_s)
    except subprocess.TimeoutExpired:
        family = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)  # so that pytest ends its servers
    try:
        process.wait(_INTERRUPTED_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(_KILLED_WITHIN_S)
    for each in family:
        with suppress(psutil.NoSuchProcess):
            each.kill()
    return None


def _cases(results: Path) -> dict[str, Outcome]:
    """Each case by a node id as one would write it. A case that failed and erred has failed."""
    cases: dict[str, Outcome] = {}
    for case in ET.parse(results).iter("testcase"):  # noqa: S314 - as above
        name = f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name')}"
        tags = {child.tag for child in case}
        outcome = _TAGS[min(tags & _TAGS.keys(), key=list(_TAGS).index, default="")]
        if cases.get(name) is not Outcome.FAILED:
            cases[name] = outcome
    return cases


# What pytest calls them, the telling ones first.
_TAGS: Final = {
    "failure": Outcome.FAILED,
    "error": Outcome.ERROR,
    "skipped": Outcome.SKIPPED,
    "": Outcome.PASSED,
}
