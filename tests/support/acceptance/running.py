"""The whole platform as somebody runs it: `python -m cli run` in a folder of its own.

Everything about it is learned from outside: what it prints, its record, `payments status`
and HTTP. It is a plain child process, so that any event loop may look at it.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import psutil

from local.home import Home
from local.program import CODE, free_port, kill_group
from local.run_record import RunRecord, read_record
from local.supervisor import ProcessState, ProcessStatus
from tests.support.environment import bare
from tests.support.waiting import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# Many interpreters start at once, on a machine that may have two busy cores.
READY_WITHIN_S: Final = 120.0
# The drain may take 30 s, and so may the servers after it.
_STOPPED_WITHIN_S: Final = 70.0
_VERIFY_WAIT_S: Final = 90
# Short, so that a killed worker's claims are taken over while a test waits.
_LEASE: Final = "5s"


@dataclass(frozen=True, slots=True)
class Run:
    """A finished command."""

    code: int
    printed: str


@dataclass(slots=True)
class Installation:
    """A folder in which the platform can be started, stopped and started again."""

    directory: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    # The tree whose code it runs.
    code: Path = CODE
    # What `payments run` is told.
    options: tuple[str, ...] = ()
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @classmethod
    def in_folder(cls, directory: Path, **more: str) -> Installation:
        """On free ports, so that it disturbs nobody's own run."""
        return cls(
            directory,
            {
                "PAYMENTS_HOME": str(directory / "home"),
                "PAYMENTS_SERVER_PORT": str(free_port()),
                "PAYMENTS_DATABASE_PORT": str(free_port()),
                "PAYMENTS_REDIS_PORT": str(free_port()),
                "PAYMENTS_SIMULATOR_PORT": str(free_port()),
                "PAYMENTS_PAYMENT_LEASE": _LEASE,
                "PAYMENTS_STRIPE_TIMEOUT": "2s",
                "PAYMENTS_PAYPAL_TIMEOUT": "2s",
                **more,
            },
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.variables['PAYMENTS_SERVER_PORT']}"

    @property
    def printed(self) -> str:
        return self._output.read_text(errors="replace")

    @property
    def record(self) -> RunRecord:
        found = read_record(Home(self.directory / "home"))
        assert found is not None, self.printed
        return found

    def has(self, name: str) -> bool:
        """Whether a process of that name is part of it."""
        return any(each.name == name for each in self.record.processes)

    def process(self, name: str) -> ProcessStatus:
        return next(each for each in self.record.processes if each.name == name)

    async def start(self) -> None:
        """Return when everything is ready."""
        self._launch()

        def is_decided() -> bool:
            return "Everything is ready" in self.printed or not self.is_running

        await eventually(is_decided, within=READY_WITHIN_S)
        assert self.is_running, self.printed

    def _launch(self) -> None:
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603 - ours, and what a test tells it
                (sys.executable, "-m", "cli", "run", *self.options),
                cwd=self.code,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                process_group=0,
            )

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    async def interrupt(self) -> int:
        """Ctrl-C; the exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        await eventually(lambda: not self.is_running, within=_STOPPED_WITHIN_S)
        return int(self._process.returncode)

    async def kill(self, name: str) -> None:
        """Kill -9 one of its processes, and return when all are ready again."""
        before = self.process(name)
        assert before.pid is not None
        os.kill(before.pid, signal.SIGKILL)
        await eventually(
            lambda: self.process(name).restarts > before.restarts, within=READY_WITHIN_S
        )
        await self.until_ready()

    async def until_ready(self) -> None:
        await eventually(
            lambda: all(each.state is ProcessState.READY for each in self.record.processes),
            within=READY_WITHIN_S,
        )

    def freeze(self, name: str) -> None:
        """SIGSTOP: it stands still until it is thawed."""
        os.kill(self.process(name).pid or 0, signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        os.kill(self.process(name).pid or 0, signal.SIGCONT)

    async def command(self, *arguments: str) -> Run:
        """`payments ...` in its folder."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "cli", *arguments),
            cwd=self.code,
            env=self._environment(servers=False),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        printed, _ = await process.communicate()
        assert process.returncode is not None
        return Run(process.returncode, printed.decode())

    async def assert_sound(self) -> None:
        """Once at rest, every invariant holds, the provider's journal included."""
        verified = await self.command("verify", "--wait", str(_VERIFY_WAIT_S), "--json")
        report = json.loads(verified.printed)
        wrong = {
            each["invariant"]: [each["verdict"], each["unchecked"], each["violations"][:3]]
            for each in report["invariants"]
            if each["verdict"] != "holds"
        }
        assert verified.code == 0, json.dumps(wrong)
        assert report["holds"]
        assert {"I1", "I4", "I7", "I8", "I13"} <= {
            each["invariant"] for each in report["invariants"]
        }

    def end(self) -> None:
        """Leave nothing running, whatever happened."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_STOPPED_WITHIN_S * PATIENCE)
        except subprocess.TimeoutExpired:
            for child in psutil.Process(self._process.pid).children(recursive=True):
                child.kill()
            kill_group(self._process.pid)
            self._process.wait()

    @property
    def _output(self) -> Path:
        return self.directory / "output"

    def _environment(self, *, servers: bool = True) -> dict[str, str]:
        """Ours alone: most variables of the surroundings lead to other servers.

        Commands find the servers of a run by its record, unless a variable names one.
        """
        theirs = bare()
        own = dict(self.variables)
        if not servers:
            for name in ("DATABASE_PORT", "REDIS_PORT", "SIMULATOR_PORT"):
                own.pop(f"PAYMENTS_{name}", None)
            for name in ("HOST", "PORT"):
                own.pop(f"PAYMENTS_DATABASE_POOLER_{name}", None)
            for vendor in ("STRIPE", "PAYPAL"):
                own.pop(f"PAYMENTS_{vendor}_TIMEOUT")
        return {**theirs, "PYTHONPATH": str(self.code), **own}
