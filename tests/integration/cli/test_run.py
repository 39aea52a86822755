"""`payments run` as a user starts it: everything real, killed once, and stopped in order."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp

from local.program import free_port, kill_group
from tests.support.waiting import eventually

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

    async def payments(self, *arguments: str) -> str:
        """What a command says."""
        asked = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "cli", *arguments),
            env=self.environment,
            stdout=asyncio.subprocess.PIPE,
        )
        answer, _ = await asked.communicate()
        return answer.decode()

    async def status(self) -> tuple[int, dict[str, dict[str, object]]]:
        """Exit code of `payments status --json`, and its processes by name."""
        asked = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "cli", "status", "--json"),
            env=self.environment,
            stdout=asyncio.subprocess.PIPE,
        )
        answer, _ = await asked.communicate()
        assert asked.returncode is not None
        return asked.returncode, {one["name"]: one for one in json.loads(answer)["processes"]}


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
                await asyncio.wait_for(process.wait(), 45)
            except TimeoutError:
                kill_group(process.pid)
                await process.wait()


async def test_a_run_survives_kills_keeps_its_data_and_drains(tmp_path: Path) -> None:
    """A killed child comes back; a killed run is followed by one that clears up and goes on."""
    environment = {name: value for name, value in os.environ.items() if "PAYMENTS_" not in name}
    environment["PAYMENTS_HOME"] = str(tmp_path / ".payments")
    environment["PAYMENTS_SERVER_PORT"] = str(free_port())

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
        shown = await run.payments("status")
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
        assert await asyncio.wait_for(run.process.wait(), 45) == 0
        assert run.said("Everything has drained and stopped.")
        code, processes = await run.status()
        assert code == 3
        assert {one["pid"] for one in processes.values()} == {None}
