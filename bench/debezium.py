"""A stock Debezium in the relay's place: Kafka Connect on the embedded Java, set up as we ship it.

Its settings are those of deploy/debezium, said in Kafka Connect's words, so that a test of it is a
test of that file.
"""

from __future__ import annotations

import os
import re
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from local.embedded import jars
from local.embedded.kafka import installed
from local.program import CODE, Program, StopGroup, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from local.program import Running
    from process.addresses import DatabaseAddress

# Before the names of all topics, so that both can publish to one broker.
PREFIX: Final = "debezium."
HEARTBEATS: Final = "__debezium-heartbeat.payments"
SLOT: Final = "payments_debezium"
_LISTING: Final = jars.Listing(
    "Debezium", Path(__file__).with_name("debezium-jars.txt"), "debezium"
)
_SHIPPED: Final = CODE / "deploy" / "debezium" / "application.properties"
# Debezium Server's word for a converter of text.
_TEXT: Final = "org.apache.kafka.connect.storage.StringConverter"
_WORKER: Final = f"""\
listeners=http://127.0.0.1:0
offset.storage.file.filename=offsets.dat
offset.flush.interval.ms=200
key.converter={_TEXT}
value.converter={_TEXT}
header.converter={_TEXT}
producer.override.acks=all
"""
# So that a test need not wait for ten seconds.
_HEARTBEAT_MS: Final = "500"
# A Java process on two busy cores.
_READY_SECONDS_MAX: Final = 90.0


class Asked(Protocol):
    """A connection, or a pool of them."""

    async def fetchval(self, query: str, *arguments: object) -> object: ...


@asynccontextmanager
async def debezium(
    database: DatabaseAddress,
    bootstrap: str,
    asked: Asked,
    directory: Path,
    *,
    java: Sequence[str] = (),
) -> AsyncIterator[Running]:
    """Debezium, reading the WAL inside the block; its slot is gone after it."""
    installation = await installed(os.environ)
    ours = await jars.fetched(os.environ, print, _LISTING)
    worker = directory / "worker.properties"
    worker.write_text(f"{_WORKER}bootstrap.servers={bootstrap}\n")
    connector = directory / "connector.properties"
    connector.write_text(_text({**_connector(), **_addresses(database)}))
    standalone = "org.apache.kafka.connect.cli.ConnectStandalone"
    program = Program(
        name="debezium",
        command=replace(installation, class_cache=None).command(
            *java, standalone, worker.name, connector.name
        ),
        directory=directory,
        log=directory / "debezium.log",
        address=bootstrap,
        port=0,
        is_ready=lambda: _reads(asked),
        environment=replace(installation, jars=[*installation.jars, *ours]).variables(),
        stop_group=StopGroup.RELAYS,
    )
    try:
        async with running(program, ready_within_seconds=_READY_SECONDS_MAX) as process:
            yield process
    finally:
        await asked.fetchval(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots "
            "WHERE slot_name = $1",
            SLOT,
        )


async def _reads(asked: Asked) -> bool:
    is_active = "SELECT active FROM pg_replication_slots WHERE slot_name = $1"
    return bool(await asked.fetchval(is_active, SLOT))


def _connector() -> dict[str, str]:
    """What is shipped for Debezium Server, as a connector of Kafka Connect takes it."""
    found = {"name": "outbox"}
    for name, value in _properties(_SHIPPED.read_text()).items():
        kind, _, rest = name.removeprefix("debezium.").partition(".")
        if kind == "source" and not rest.startswith("offset."):
            found[rest] = value
        elif kind in {"predicates", "transforms"}:
            found[name.removeprefix("debezium.")] = value
    route = "transforms.outbox.route.topic.replacement"
    assert found[route] == r"\${routedByValue}"
    return {**found, route: f"{PREFIX}${{routedByValue}}", "heartbeat.interval.ms": _HEARTBEAT_MS}


def _addresses(database: DatabaseAddress) -> dict[str, str]:
    return {
        "database.hostname": database.host,
        "database.port": str(database.port),
        "database.user": database.user,
        "database.password": database.password,
        "database.dbname": database.database,
    }


def _properties(text: str) -> dict[str, str]:
    """A file of Java properties; of its escapes only those that stand in ours."""
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    said = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name: value.replace("\\\\", "\\") for name, _, value in said}


def _text(properties: Mapping[str, str]) -> str:
    escaped = ((name, value.replace("\\", "\\\\")) for name, value in properties.items())
    return "".join(f"{name}={value}\n" for name, value in escaped)
