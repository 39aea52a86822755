"""Every stage as a process of its own, under one command, for a host without a supervisor.

Stages still lag, crash and drain alone; here they only share a terminal. When one
dies the others are drained too, and the exit code tells: whoever started the fleet
starts it again.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


async def run_all(stages: Sequence[str]) -> int:
    """Run `python -m agents STAGE` for each until a signal, or until one ends; the exit code."""
    processes = [
        await asyncio.create_subprocess_exec(sys.executable, "-m", "agents", stage)
        for stage in stages
    ]
    ends = [asyncio.ensure_future(process.wait()) for process in processes]
    signalled = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signalled.set)
    told = asyncio.ensure_future(signalled.wait())
    await asyncio.wait({told, *ends}, return_when=asyncio.FIRST_COMPLETED)
    told.cancel()
    for process in processes:
        if process.returncode is None:
            process.terminate()
    codes = await asyncio.gather(*ends)
    return 0 if signalled.is_set() and not any(codes) else 1
