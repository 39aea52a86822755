"""`python -m topics.relay --sink kafka|redis`: one relay, until SIGTERM or SIGINT.

Reads the settings from the environment, composes source and sink, serves metrics and health, and
ends once what it had read is acknowledged and confirmed.
"""

import process.starting  # noqa: F401 - its effect: it can be told to stop while the rest is imported

# isort: split
import argparse
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import NoReturn

from prometheus_client import CollectorRegistry

from process import lifecycle
from process.addresses import DatabaseAddress
from process.lifecycle import Lifecycle
from process.metrics_port import shown
from process.settings import Settings, read_settings
from process.waiting import naming, until_reached
from store import pool, redis
from telemetry.logging import configure
from telemetry.metrics import Metrics
from topics import kafka
from topics.kafka_security import REFUSED
from topics.names import SLOTS, TOPICS
from topics.relay.relay import Relay, RelayOptions
from topics.relay.sinks.kafka import KafkaSink
from topics.relay.sinks.redis_streams import RedisSink
from topics.relay.sinks.sink import Sink


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    parser = argparse.ArgumentParser(prog="python -m topics.relay", description=__doc__)
    parser.add_argument("--sink", choices=sorted(SLOTS), required=True)
    parser.add_argument("--slot", help="replication slot; its sink's own unless said")
    parsed = parser.parse_args(arguments)
    settings = read_settings()
    name = f"relay-{parsed.sink}"
    configure(settings.observability.log_level, name)
    lifecycle.run(
        name,
        partial(_run, settings, parsed.sink, parsed.slot or SLOTS[parsed.sink]),
        shutdown_timeout_s=settings.server.shutdown_timeout_seconds,
    )


async def _run(settings: Settings, sink_name: str, slot: str, life: Lifecycle) -> None:
    metrics = Metrics(CollectorRegistry())
    address, name = settings.database.address(), f"payments-relay-{sink_name}"
    options = RelayOptions(conninfo=address.conninfo(name), slot=slot, drain_seconds=life.drain_s)
    relay = Relay(options, _sink(settings, sink_name, metrics), metrics, time.time)
    await shown(
        life,
        metrics,
        settings.observability,
        lambda: relay.is_ready and not life.stopping.is_set(),
    )
    await _refuse_wrong_credentials(address, name)
    match sink_name:
        case "redis":
            async with redis.client(settings.redis.address()) as mirror:
                with naming("Redis", redis.REFUSED):
                    await redis.refuse_wrong_credentials(mirror)
        case _:
            with suppress(*kafka.AWAY), naming("Kafka", REFUSED):
                await kafka.refuse_forbidden_reading(settings.kafka.address(), TOPICS)
    # From here on it reconnects by itself, and watches for the stop while it does.
    life.takes_work = True
    await relay.run(life.stopping)


async def _refuse_wrong_credentials(address: DatabaseAddress, name: str) -> None:
    """Raise CannotRun where Postgres refuses us, once it is there: libpq keeps the SQLSTATE."""

    async def knock() -> None:
        connection = await pool.connect_single(address, application_name=name)
        await connection.close()

    await until_reached("Postgres", knock, away=pool.AWAY, refused=pool.REFUSED)


def _sink(settings: Settings, name: str, metrics: Metrics) -> Sink:
    if name == "kafka":
        oversized = metrics.relay.oversized.labels(name).inc
        return KafkaSink(settings.kafka.address(), oversized)
    return RedisSink(settings.redis.address())


if __name__ == "__main__":
    main()
