"""The Makefile offers what the README promises, and says so itself."""

import shutil
import subprocess

from tests.support.project.tree import ROOT

PROMISED = frozenset(
    "help deps build check format test test-unit test-integration test-long test-browser test-all "
    "ablations run run-api run-relay run-worker migrate-up migrate-down docker-up docker-down "
    "bench clean"
    .split()
)  # fmt: skip


def _make(*arguments: str) -> str:
    make = shutil.which("make")
    assert make is not None
    return subprocess.run(  # noqa: S603 - constant arguments
        [make, "--no-print-directory", *arguments],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip


def test_help_lists_every_promised_command_with_a_sentence() -> None:
    """`make help` is complete: each command stands there with what it does."""
    lines = [line.split(maxsplit=1) for line in _make("help").splitlines()]
    assert {name for name, sentence in lines if sentence} >= PROMISED


def test_every_command_listed_can_be_made() -> None:
    """Each target resolves: nothing it depends on is missing from the Makefile."""
    for target in PROMISED - {"clean"}:
        _make("--dry-run", target)
