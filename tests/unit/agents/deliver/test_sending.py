"""What sends, and how it is left."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from datetime import UTC, datetime
from threading import Event, Thread
from typing import TYPE_CHECKING

from agents.deliver.sending import sender
from tests.support.agents.webhooks import LOOPBACK
from tests.support.waiting import PATIENCE, eventually

if TYPE_CHECKING:
    import pytest


def test_a_name_that_never_resolves_keeps_nobody_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The event loop goes on, though a thread still waits for the answer."""
    asked, answered, left = Event(), Event(), Event()

    def never(*_: object) -> object:
        asked.set()
        answered.wait()
        raise OSError

    async def leave() -> None:
        async with sender(LOOPBACK, 2, lambda: datetime.now(UTC)) as posting:
            trying = asyncio.create_task(posting.post("http://hole.test/hooks", {}, b""))
            await eventually(asked.is_set)
            trying.cancel()
            with suppress(asyncio.CancelledError):
                await trying
        left.set()

    monkeypatch.setattr(socket, "getaddrinfo", never)
    # In a loop of its own: stood still, that one could not let go of the name.
    loop = Thread(target=lambda: asyncio.run(leave()))
    loop.start()
    try:
        assert left.wait(10 * PATIENCE)
    finally:
        answered.set()
        loop.join()
