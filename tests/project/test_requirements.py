"""A clone installs the same files everywhere, from whichever index the machine is set up for."""

import re
from pathlib import Path

import pytest

from tests.support.project.tree import ROOT, tracked_files

REQUIREMENTS = ("requirements.txt", "requirements-dev.txt")
# Spelt in two parts, so that this file does not name what it looks for.
REGISTRY_HOSTS = tuple(
    ".".join(parts)
    for parts in (
        ("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org"), ("npmjs", "com"),
        ("repo", "maven"), ("repo1", "maven"), ("crates", "io"),
    )
)  # fmt: skip


def _pins(name: str) -> dict[str, str]:
    """Package to the rest of its entry, hashes and marker included."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / name).read_text(), flags=re.MULTILINE)
    entries = text.replace("\\\n", " ").splitlines()
    return {entry.split("==")[0]: entry.partition("==")[2] for entry in entries if entry.strip()}


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_every_requirement_is_pinned_and_hashed(name: str) -> None:
    """No package is installed that the file does not vouch for by hash."""
    loose = [package for package, rest in _pins(name).items() if "--hash=sha256:" not in rest]
    assert loose == []


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_requirements_name_no_place_to_fetch_from(name: str) -> None:
    """Indexes, links and paths are the machine's business."""
    text = (ROOT / name).read_text()
    named = re.findall(r"\w+://\S+|@ \S+|--(?:extra-)?index-url|--find-links|--trusted-host", text)
    assert named == []


def test_running_and_developing_use_the_same_versions() -> None:
    """What is tested is what runs: the smaller file is part of the larger."""
    run, dev = (_pins(name) for name in REQUIREMENTS)
    assert {package: rest.split()[0] for package, rest in run.items()} == {
        package: dev[package].split()[0] for package in run
    }


def test_no_tracked_file_names_this_machine_or_a_registry() -> None:
    """Nothing in the tree says where it was written or where packages come from."""
    words = [f"{ROOT}/", f"{Path.home()}/", *REGISTRY_HOSTS]
    found = [
        f"{path}: {word}"
        for path in tracked_files()
        for word in words
        if word.encode() in (ROOT / path).read_bytes()
    ]
    assert found == []
