"""The repository as a clone would have it: the files git tracks, read from the work tree.

What lies about untracked (data, caches, a virtual environment) is no part of it.
"""

import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[3]
PACKAGES: Final = (
    "agents", "api", "bench", "cli", "lag", "local", "payments", "process", "providers",
    "simulator", "store", "telemetry", "topics", "verify",
)  # fmt: skip


@cache
def tracked_files() -> tuple[Path, ...]:
    """Paths relative to ROOT; those deleted but not yet committed are left out."""
    git = shutil.which("git")
    assert git is not None, "the tests of the project itself need git"
    listing = subprocess.run(  # noqa: S603 - constant arguments
        [git, "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    return tuple(Path(name) for name in listing.split("\0") if name and (ROOT / name).is_file())
