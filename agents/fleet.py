"""Every stage as a process of its own, under one command, for a host without a supervisor.

Stages still lag, crash and drain alone; here they only share a terminal. When one
dies the others are drained too, and the exit code tells: whoever started the fleet
starts it again.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING

from topics.names import STAGES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from topics.names import WorkStage


class Fleet:
    """Each stage that does not listen, as a process of its own.

    Each serves its metrics on a port of its own, counted from `metrics_port`; none if it is 0.
    Of two fleets on one host each stage has as many ports to choose from: `metrics_ports`.
    """

    def __init__(
        self, metrics_port: int, metrics_ports: int = 1, stages: Iterable[WorkStage] = STAGES
    ) -> None:
        self._ports = {
            stage.command: metrics_port and metrics_port + place * metrics_ports
            for place, stage in enumerate(stages)
            if not stage.listens
        }
        self._processes: list[asyncio.subprocess.Process] = []

    async def run(self, stopping: asyncio.Event) -> dict[str, int]:
        """Run them until told to stop, or until one ends; the exit code of each."""
        try:
            for stage, port in self._ports.items():
                self._processes.append(await _started(stage, port))
            ends = [asyncio.ensure_future(process.wait()) for process in self._processes]
            told = asyncio.ensure_future(stopping.wait())
            await asyncio.wait({told, *ends}, return_when=asyncio.FIRST_COMPLETED)
            told.cancel()
            for process in self._running():
                process.terminate()
            return dict(zip(self._ports, await asyncio.gather(*ends), strict=True))
        finally:
            # Cut off, or one could not be started: out of our group nobody else would end them.
            self.kill()

    def kill(self) -> None:
        for process in self._running():
            process.kill()

    def _running(self) -> list[asyncio.subprocess.Process]:
        return [process for process in self._processes if process.returncode is None]


async def _started(stage: str, metrics_port: int) -> asyncio.subprocess.Process:
    environment = os.environ | {"PAYMENTS_OBSERVABILITY_METRICS_PORT": str(metrics_port)}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "agents", stage),
        env=environment,
        # Out of the terminal's group: Ctrl-C is said to us, and they hear of it once.
        start_new_session=True,
    )
