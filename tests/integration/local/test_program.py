"""Ports that are given away: nobody else gets one before its server listens."""

import asyncio
import socket
import sys

import pytest

from local.program import free_port, is_free


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
