"""A broker behind a front: it tells its clients to come to the front, and not to itself."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from local.embedded import kafka
from local.program import free_port, running
from process.addresses import KafkaAddress
from topics.kafka import AWAY, administration

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

_READY_WITHIN_S: Final = 60.0


@asynccontextmanager
async def broker_behind(front: int, directory: Path, port: int) -> AsyncIterator[None]:
    """A broker on the data in `directory`, ready inside the block; `front` leads to `port`."""
    directory.mkdir(exist_ok=True)
    installed = await kafka.installed(os.environ)
    program = await kafka.prepare(installed, directory / "data", port, log=directory / "log")
    properties = program.directory / "server.properties"
    properties.write_text(_behind(front, port, properties.read_text()))
    program = replace(program, is_ready=partial(_answers, front))
    async with running(program, ready_within_seconds=_READY_WITHIN_S):
        yield


def _behind(front: int, port: int, properties: str) -> str:
    """What it says to itself, as when a transaction ends, does not go through the front."""
    inner = f"INNER://127.0.0.1:{free_port()}"
    own, at = f"BROKER://127.0.0.1:{port}", "BROKER://127.0.0.1"
    for before, after in (
        (f"listeners={own},", f"listeners={own},{inner},"),
        (f"advertised.listeners={own}", f"advertised.listeners={at}:{front},{inner}"),
        ("map=BROKER:PLAINTEXT,", "map=BROKER:PLAINTEXT,INNER:PLAINTEXT,"),
        ("inter.broker.listener.name=BROKER", "inter.broker.listener.name=INNER"),
    ):
        assert properties.count(before) == 1, before
        properties = properties.replace(before, after)
    return properties


async def _answers(port: int) -> bool:
    try:
        async with administration(KafkaAddress(f"127.0.0.1:{port}")) as admin:
            return bool((await admin.describe_cluster())["brokers"])
    except AWAY:
        return False
