"""`payments tail` shows what is on a topic, as lines to read or as CloudEvents."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.topics.destinations import Destination
    from tests.support.topics.outbox import Outbox
    from tests.support.topics.relays import Relays

ROOT = Path(__file__).parents[3]


@asynccontextmanager
async def _tail(destination: Destination, out: Path, *arguments: str) -> AsyncIterator[None]:
    """`payments tail` with its output in a file, ended by Ctrl-C."""
    source = ["--redis"] if destination.name == "redis" else []
    with out.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "cli", "tail", *source, *arguments),
            cwd=ROOT,
            env=os.environ | dict(destination.environment()),
            stdout=file,
        )
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 0


async def test_lines_to_read(relays: Relays, outbox: Outbox, tmp_path: Path) -> None:
    """Time, type, key and sequence of one payment's messages, from the beginning."""
    out = tmp_path / "out"
    keys = [uuid4(), uuid4()]
    async with relays.running():
        await outbox.write(keys, rows_per_key=2)
        arguments = ("--from-beginning", "--payment", str(keys[1]))
        async with _tail(relays.destination, out, *arguments):
            await eventually(lambda: len(out.read_text().splitlines()) >= 2)
    lines = [line.split() for line in out.read_text().splitlines()]
    assert [line[1:] for line in lines] == [
        ["payment.created", str(keys[1]), "#1"],
        ["payment.created", str(keys[1]), "#2"],
    ]


async def test_cloudevents(relays: Relays, outbox: Outbox, tmp_path: Path) -> None:
    """One JSON object a message, with its payload as `data`."""
    out = tmp_path / "out"
    key = uuid4()
    async with relays.running():
        (event_id,) = await outbox.write([key])
        async with _tail(relays.destination, out, "--from-beginning", "--json"):
            await eventually(lambda: out.read_text().endswith("\n"))
    event = json.loads(out.read_text())
    assert UUID(event["id"]) == event_id
    assert (event["specversion"], event["subject"]) == ("1.0", str(key))
    assert (event["sequence"], event["sequencetype"]) == ("0000000001", "Integer")
    assert event["data"] == {"event_id": str(event_id), "amount_minor": 5000}
