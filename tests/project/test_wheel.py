"""The wheel is the project: every module and data file of its packages is in it, and runs."""

import asyncio
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import aiohttp
import pytest

from local.program import free_port
from tests.support.environment import bare
from tests.support.project.tree import PACKAGES, ROOT, tracked_files
from tests.support.waiting import eventually

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


@pytest.mark.long
async def test_whoever_installs_the_wheel_runs_the_platform(tmp_path: Path) -> None:
    """In an environment and a folder of their own, without the clone: it is ready, pays, drains.

    With exactly the versions that are vouched for.
    """
    payments = await _installed(tmp_path)
    folder, output = tmp_path / "elsewhere", tmp_path / "said"
    folder.mkdir()
    theirs = bare() | {"PAYMENTS_SERVER_PORT": str(free_port())}
    assert "A payments platform" in await _said(payments, "--help", cwd=folder, env=theirs)
    with output.open("wb") as said:
        run = await asyncio.create_subprocess_exec(
            *(payments, "run", "--demo"), cwd=folder, env=theirs, stdout=said, stderr=said
        )
    try:
        await eventually(
            lambda: "Everything is ready" in output.read_text() or run.returncode is not None,
            within=180,
        )
        assert run.returncode is None, output.read_text()
        api = f"http://127.0.0.1:{theirs['PAYMENTS_SERVER_PORT']}/api/v1/payments?status=completed"

        async def has_paid() -> bool:
            async with aiohttp.ClientSession() as http, http.get(api) as answer:
                return bool((await answer.json())["data"])

        await eventually(has_paid, within=60)
        status = json.loads(await _said(payments, "status", "--json", cwd=folder, env=theirs))
        assert {one["state"] for one in status["processes"]} == {"ready"}
        run.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(run.wait(), 60) == 0
    finally:
        if run.returncode is None:
            run.kill()
            await run.wait()


async def _installed(folder: Path) -> Path:
    """The command, in a new environment."""
    await _said("make", "build", cwd=ROOT)
    (wheel,) = (ROOT / "dist").glob("*.whl")
    python = folder / "venv" / "bin" / "python"
    pip = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps")
    await _said(sys.executable, "-m", "venv", folder / "venv", cwd=folder)
    await _said(*pip, "--require-hashes", "-r", ROOT / "requirements.txt", cwd=folder)
    await _said(*pip, wheel, cwd=folder)
    return python.with_name("payments")


async def _said(*command: str | Path, cwd: Path, env: dict[str, str] | None = None) -> str:
    """What a command says, which has to succeed."""
    asked = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    said, complained = await asked.communicate()
    assert asked.returncode == 0, said.decode() + complained.decode()
    return said.decode()
