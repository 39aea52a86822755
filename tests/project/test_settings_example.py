""".env.example and the settings the processes read are one list."""

import os
import re

import pytest

from tests.support.project.tree import ROOT
from tests.support.project.variables import settings, variables

ASSIGNMENT = re.compile(r"#(PAYMENTS_[A-Z_]+)=(.*)")


def _example() -> dict[str, str]:
    lines = (ROOT / ".env.example").read_text().splitlines()
    return {match[1]: match[2] for line in lines if (match := ASSIGNMENT.fullmatch(line))}


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PAYMENTS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PAYMENTS_ENV_FILE", "")


def test_the_example_names_every_variable_and_no_other() -> None:
    """A variable cannot be added, renamed or dropped without the example."""
    assert set(_example()) == variables()


def test_the_example_shows_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """Uncommenting every line changes nothing."""
    defaults = settings()
    for name, value in _example().items():
        monkeypatch.setenv(name, value)
    assert settings() == defaults


def test_every_variable_has_a_comment_above() -> None:
    """Each block of variables begins with what it is for."""
    blocks = (ROOT / ".env.example").read_text().strip().split("\n\n")
    assert [block for block in blocks if not block.startswith("# ")] == []


def test_the_example_copied_whole_sets_nothing() -> None:
    """Or `make run` would take the defaults for servers of one's own, and embed none."""
    lines = (ROOT / ".env.example").read_text().splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == []
