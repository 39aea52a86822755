"""Programs have sessions of their own, and a port given away is nobody else's."""

import asyncio
import os
import socket
import sys
from pathlib import Path

import pytest

from local.program import CODE, Program, free_port, is_free, running


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


async def test_a_program_has_a_session_of_its_own(tmp_path: Path) -> None:
    """The cores are shared out among sessions: one of all would get as much as one connection."""
    program = Program(
        name="sleeper",
        command=(sys.executable, "-c", "import signal; signal.pause()"),
        directory=CODE,
        log=tmp_path / "sleeper.log",
        address="",
        is_ready=_at_once,
    )
    async with running(program) as process:
        assert os.getsid(process.pid) == process.pid


async def _at_once() -> bool:
    return True
