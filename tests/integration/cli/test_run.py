"""`payments run` as a user starts it: everything real, killed once, and stopped in order."""

import asyncio
import fcntl
import json
import os
import signal
import sys
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp
import pytest

from local.program import CODE, free_port, kill_group
from tests.support.environment import bare
from tests.support.waiting import PATIENCE, eventually

# Many interpreters start at once, on a machine that may have two busy cores.
_READY_WITHIN: Final = 120.0
_ACCOUNT: Final = {"user_id": "user1", "initial_balance": 1000.00, "currency": "USD"}


@dataclass(frozen=True, slots=True)
class Started:
    """A run: its process, what it printed so far, and its environment."""

    process: asyncio.subprocess.Process
    output: Path
    environment: dict[str, str]

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.environment['PAYMENTS_SERVER_PORT']}"

    def said(self, words: str) -> bool:
        return words in self.output.read_text()

    async def status(self) -> tuple[int, dict[str, dict[str, object]]]:
        return await status(self.environment)


async def payments(environment: dict[str, str], *arguments: str) -> tuple[int, str]:
    """Exit code and words of a command."""
    asked = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli", *arguments),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    answer, _ = await asked.communicate()
    assert asked.returncode is not None
    return asked.returncode, answer.decode()


async def status(environment: dict[str, str]) -> tuple[int, dict[str, dict[str, object]]]:
    """Exit code of `payments status --json`, and its processes by name."""
    code, answer = await payments(environment, "status", "--json")
    return code, {one["name"]: one for one in json.loads(answer)["processes"]}


def own_home(directory: Path) -> dict[str, str]:
    """The environment of a run of its own."""
    environment = bare()
    environment["PAYMENTS_HOME"] = str(directory / ".payments")
    environment["PAYMENTS_SERVER_PORT"] = str(free_port())
    return environment


@asynccontextmanager
async def started(environment: dict[str, str], output: Path) -> AsyncIterator[Started]:
    with output.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "cli", "run"),
            env=environment,
            stdout=file,
            stderr=file,
            process_group=0,
        )
    run = Started(process, output, environment)
    try:
        await eventually(
            lambda: run.said("Everything is ready") or process.returncode is not None,
            within=_READY_WITHIN,
        )
        assert process.returncode is None, output.read_text()
        yield run
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), 45 * PATIENCE)
            except TimeoutError:
                kill_group(process.pid)
                await process.wait()


async def test_a_run_survives_kills_keeps_its_data_and_drains(tmp_path: Path) -> None:
    """A killed child comes back; a killed run is followed by one that clears up and goes on."""
    environment = own_home(tmp_path)

    async with started(environment, tmp_path / "first") as run, aiohttp.ClientSession() as http:
        code, processes = await run.status()
        assert code == 0
        assert {one["state"] for one in processes.values()} == {"ready"}

        charge = processes["charge"]["pid"]
        assert isinstance(charge, int)
        os.kill(charge, signal.SIGKILL)
        await eventually(lambda: run.said("charge is ready again"), within=_READY_WITHIN)
        _, processes = await run.status()
        assert processes["charge"]["pid"] != charge
        assert processes["charge"]["restarts"] == 1

        async with http.post(f"{run.api}/api/v1/accounts", json=_ACCOUNT) as opened:
            assert opened.status == 201
            account = (await opened.json())["id"]
        run.process.kill()
        await run.process.wait()
        # Nobody looks after them any more, but money moves.
        code, orphans = await run.status()
        assert code == 1
        assert {one["state"] for one in orphans.values()} == {"ready"}
        _, shown = await payments(environment, "status")
        assert f"`payments run` (process {run.process.pid}) was killed" in shown
        assert "drains and ends all of it, and starts anew" in shown
        async with http.get(f"{run.api}/api/v1/accounts/{account}") as found:
            assert found.status == 200

    async with started(environment, tmp_path / "second") as run, aiohttp.ClientSession() as http:
        assert run.said("went on without it: ")
        assert run.said("Ended what a killed run had left behind: ")
        async with http.get(f"{run.api}/api/v1/accounts/{account}") as found:
            assert found.status == 200
        run.process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(run.process.wait(), 45 * PATIENCE) == 0
        assert run.said("Everything has drained and stopped.")
        code, processes = await run.status()
        assert code == 3
        assert {one["pid"] for one in processes.values()} == {None}


async def test_without_the_broker_s_files_a_run_ends_with_a_sentence(tmp_path: Path) -> None:
    """It says what to set, exits with 2, and leaves nothing running."""
    environment = own_home(tmp_path)
    environment |= {
        "PAYMENTS_CACHE": str(tmp_path / "cache"),
        "PAYMENTS_MAVEN_URL": f"http://127.0.0.1:{free_port()}",
        "PAYMENTS_DATABASE_HOST": "127.0.0.1",
    }
    environment.pop("PAYMENTS_KAFKA_JARS", None)
    code, said = await payments(environment, "run")
    assert code == 2, said
    assert "Traceback" not in said
    (complaint,) = (line for line in said.splitlines() if line.startswith("payments run: "))
    assert (
        "set PAYMENTS_MAVEN_URL to a mirror of Maven Central, PAYMENTS_KAFKA_JARS to" in complaint
    )


@pytest.mark.long
async def test_a_closed_terminal_ends_make_run_as_it_should(tmp_path: Path) -> None:
    """Nobody reads what it says any more: it drains all the same, and leaves nothing behind."""
    environment = own_home(tmp_path)
    master, terminal = os.openpty()
    shell = await asyncio.create_subprocess_exec(
        # As a user's shell, which leads the session, it ends when its terminal is gone.
        *("sh", "-c", "make run; exit $?"),
        cwd=CODE,
        env=environment,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
        preexec_fn=lambda: _as_in_a_terminal(terminal),
    )
    os.close(terminal)
    said = b""
    while b"Everything is ready" not in said:
        said += await asyncio.to_thread(os.read, master, 1000)
    _, processes = await status(environment)
    assert {one["state"] for one in processes.values()} == {"ready"}
    os.close(master)

    async def is_over() -> bool:
        code, _ = await status(environment)
        return code == 3

    await eventually(is_over, within=60)
    await shell.wait()
    _, processes = await status(environment)
    assert {one["state"] for one in processes.values()} == {"stopped"}
    assert '"in_time":false' not in "".join(map(Path.read_text, tmp_path.rglob("*.log")))


def _as_in_a_terminal(terminal: int) -> None:
    # pytest may have been told to live on without one.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
