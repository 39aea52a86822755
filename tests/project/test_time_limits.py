"""A test that hangs ends red, and holds up none behind it."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from tests.support.project.tree import ROOT

if TYPE_CHECKING:
    from pathlib import Path

_HANGS = """
import asyncio


async def test_hangs():
    await asyncio.Event().wait()


async def test_behind_it():
    pass
"""


def test_one_that_hangs_is_ended_and_the_next_begins(tmp_path: Path) -> None:
    """It is shown where it hung."""
    (tmp_path / "test_hangs.py").write_text(_HANGS)
    ended = subprocess.run(  # noqa: S603 - this interpreter
        (
            *(sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml")),
            *("-p", "no:cacheprovider", "-n0", "--timeout=1", str(tmp_path)),
        ),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1, ended.stdout
    assert "1 failed, 1 passed" in ended.stdout
    assert "Timeout (>1.0s)" in ended.stdout
