"""Every stage as a process of its own, under one command, for a host without a supervisor.

Stages still lag, crash and drain alone; here they only share a terminal. When one
dies the others are drained too, and the exit code tells: whoever started the fleet
starts it again.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING

from topics.names import STAGES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from topics.names import WorkStage


async def run_all(metrics_port: int, stages: Iterable[WorkStage] = STAGES) -> int:
    """Run each that does not listen until a signal, or until one ends; the exit code.

    Each serves its metrics on a port of its own, counted from `metrics_port`; none if it is 0.
    """
    # Before there is anybody to be left behind.
    signalled = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signalled.set)
    processes = [
        await _started(stage, metrics_port and metrics_port + place)
        for place, stage in enumerate(stages)
        if not stage.listens
    ]
    ends = [asyncio.ensure_future(process.wait()) for process in processes]
    told = asyncio.ensure_future(signalled.wait())
    await asyncio.wait({told, *ends}, return_when=asyncio.FIRST_COMPLETED)
    told.cancel()
    for process in processes:
        if process.returncode is None:
            process.terminate()
    codes = await asyncio.gather(*ends)
    return 0 if signalled.is_set() and not any(codes) else 1


async def _started(stage: WorkStage, metrics_port: int) -> asyncio.subprocess.Process:
    environment = os.environ | {"PAYMENTS_OBSERVABILITY_METRICS_PORT": str(metrics_port)}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "agents", stage.command, env=environment
    )
