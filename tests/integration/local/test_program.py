"""What a program is started with: ports that nobody else gets, and how nice it is to others."""

import asyncio
import os
import socket
import sys
from pathlib import Path

import pytest

from local.program import Program, free_port, is_free, start, stop


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a bound port be listened on")
def test_a_port_given_away_is_chosen_for_nobody_else() -> None:
    """Of the thousands there are, whoever asks for any port gets another."""
    given = {free_port() for _ in range(40)}
    for _ in range(4000):
        with socket.socket() as asking:
            asking.bind(("127.0.0.1", 0))
            assert asking.getsockname()[1] not in given


async def test_a_server_may_listen_on_a_port_it_was_given() -> None:
    """And again after it ended; while it listens the port is not free."""
    port = free_port()
    for _ in range(2):
        assert is_free(port)
        async with await asyncio.start_server(lambda *_: None, "127.0.0.1", port):
            assert not is_free(port)


async def test_a_program_is_as_nice_as_it_is_to_be(tmp_path: Path) -> None:
    """The others are as they were."""

    async def is_ready() -> bool:
        return True

    program = Program(
        name="sleeper",
        command=("sleep", "3600"),
        directory=tmp_path,
        log=tmp_path / "log",
        address="",
        is_ready=is_ready,
        niceness=3,
    )
    process = await start(program)
    ours = os.getpriority(os.PRIO_PROCESS, 0)
    assert os.getpriority(os.PRIO_PROCESS, process.pid) == ours + 3
    assert await stop(program, process, within_seconds=5)
