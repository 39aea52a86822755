"""The wheel is the project: every module and data file of its packages is in it."""

import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

from tests.support.project.tree import PACKAGES, ROOT, tracked_files

DATA = frozenset(
    {".py", ".sql", ".lua", ".json", ".yaml", ".html", ".css", ".js", ".svg", ".txt", ".typed"}
)
FOLDERS = (*PACKAGES, "migrations")


def test_the_wheel_holds_every_file_of_its_packages(tmp_path: Path) -> None:
    """A module, a query, a migration or a schema that is tracked is installed, and no test is."""
    sources = tmp_path / "sources"
    for path in tracked_files():
        (sources / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, sources / path)
    subprocess.run(  # noqa: S603 - constant arguments
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
         "--disable-pip-version-check", "--wheel-dir", tmp_path, sources],
        check=True, capture_output=True,
    )  # fmt: skip
    (wheel,) = tmp_path.glob("*.whl")
    installed = {name for name in ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert installed == {
        path.as_posix()
        for path in tracked_files()
        if path.parts[0] in FOLDERS and path.suffix in DATA
    }
