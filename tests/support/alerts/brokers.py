"""Faults of the broker and of its topics."""

from __future__ import annotations

import base64
import os
import re
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from local.embedded import kafka
from local.program import free_port, running
from process.addresses import KafkaAddress
from tests.support.alerts.fault import Fault
from tests.support.topics.broker_clients import create_topic
from tests.support.waiting import eventually
from topics.kafka import administration
from topics.names import CHARGES, REFUNDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from tests.support.alerts.place import Place


@asynccontextmanager
async def _topic_is_gone(place: Place) -> AsyncIterator[None]:
    """Somebody deleted it, and there is no relay to make it anew."""
    try:
        async with (
            administration(KafkaAddress(place.platform.kafka)) as admin,
            place.without("relay-kafka"),
        ):
            await admin.delete_topics([REFUNDS.name])
            yield
    finally:
        await eventually(lambda: _is_there(place, REFUNDS.name), within=60.0)
        # The worker would find it within minutes. One that is back within its session gets the
        # partitions that it had: none.
        async with place.without("refund"):
            await place.watch.sees("StageStopped", within=60)


async def _is_there(place: Place, topic: str) -> bool:
    async with administration(KafkaAddress(place.platform.kafka)) as admin:
        return topic in await admin.list_topics()


@asynccontextmanager
async def _disk_fails(place: Place) -> AsyncIterator[None]:
    """One of two disks of a broker, with some partitions of a topic: the others are answered for.

    It is a broker of its own, looked at by a process of its own.
    """
    directory, port = place.platform.directory / "two-disks", free_port()
    directory.mkdir()
    program = await kafka.prepare(
        await kafka.installed(os.environ),
        directory / "data",
        port,
        log=directory / "log",
    )
    disk, gone = (program.directory / name for name in ("second", "gone"))
    _add_disk(program.directory, disk)
    async with running(program, ready_within_seconds=60):
        await create_topic(program.address, CHARGES.name, CHARGES.partitions)
        elsewhere = replace(place.platform, kafka=program.address)
        measuring = elsewhere.process("lag", "lag")
        before = place.watch.targets["lag"]
        place.watch.targets["lag"] = measuring
        try:
            await measuring.start()
            await place.watch.sees_no("StageLagUnknown", within=30)
            disk.rename(gone)
            disk.write_text("no folder")
            yield
        finally:
            place.watch.targets["lag"] = before
            measuring.end()


def _add_disk(directory: Path, disk: Path) -> None:
    """A second folder for logs, as if it had been formatted with the first."""
    properties = directory / "server.properties"
    properties.write_text(
        properties.read_text().replace("log.dirs=log", f"log.dirs=log,{disk.name}")
    )
    disk.mkdir()
    known = (directory / "log" / "meta.properties").read_text()
    new_id = base64.urlsafe_b64encode(uuid4().bytes).decode().rstrip("=")
    made = re.sub(r"(?m)^directory\.id=.*$", f"directory.id={new_id}", known)
    (disk / "meta.properties").write_text(made)


FAULTS: Final[Mapping[str, Fault]] = {
    "a topic is gone": Fault(_topic_is_gone, ("StageWithoutPartitions",), is_slow=True),
    "a disk of the broker fails": Fault(_disk_fails, ("StageLagUnknown",), is_slow=True),
}
