"""`python -m topics.relay --sink kafka|redis`: one relay, until SIGTERM or SIGINT.

Reads the settings from the environment, composes source and sink, serves metrics and health, and
ends once what it had read is acknowledged and confirmed.
"""

import process.starting  # noqa: F401 - its effect: it can be told to stop while the rest is imported

# isort: split
import argparse
import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import NoReturn

from opentelemetry.trace import Tracer
from prometheus_client import CollectorRegistry

from process import lifecycle
from process.addresses import DatabaseAddress, KafkaAddress, RedisAddress
from process.lifecycle import CannotBegin, Lifecycle
from process.metrics_port import shown
from process.settings import ObservabilitySettings, Settings, read_settings
from process.waiting import naming, until_reached
from store import pool
from telemetry.health import told
from telemetry.logging import configure
from telemetry.metrics import Metrics
from telemetry.tracing import configure as configure_tracing
from topics.names import SLOTS, TOPICS
from topics.relay.relay import Relay, RelayOptions
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
    options = RelayOptions(
        conninfo=address.conninfo(name),
        slot=slot,
        reads_table=settings.outbox.source == "table",
        drain_seconds=life.drain_s,
    )
    tracer = _tracer(settings.observability, sink_name, life)
    relay = Relay(options, _sink(settings, sink_name), metrics, time.time, tracer)
    await shown(
        life,
        metrics,
        settings.observability,
        told(lambda: relay.is_ready and not life.stopping.is_set()),
    )
    await _refuse_wrong_postgres(address, name, reads_table=options.reads_table)
    if sink_name == "kafka":
        await _refuse_wrong_kafka(settings.kafka.address())
    else:
        await _refuse_wrong_redis(settings.redis.address())
    # From here on it reconnects by itself, and watches for the stop while it does.
    life.takes_work = True
    await relay.run(life.stopping)


async def _refuse_wrong_postgres(address: DatabaseAddress, name: str, *, reads_table: bool) -> None:
    """Raise CannotBegin where Postgres refuses us, or decodes no WAL, once it is there."""
    levels = []

    async def knock() -> None:
        connection = await pool.connect_single(address, application_name=name)
        levels.append(await connection.fetchval("SHOW wal_level"))
        await connection.close()

    await until_reached("Postgres", knock, away=pool.AWAY, refused=pool.REFUSED)
    if not reads_table and levels[-1] != "logical":
        raise CannotBegin(
            f"Postgres has wal_level={levels[-1]}: set it to logical and restart the server, or "
            "have the relays read the table (PAYMENTS_OUTBOX_SOURCE=table)"
        )


# What only one of the sinks needs takes some 10 MB: a relay to the other imports none of it.


async def _refuse_wrong_kafka(address: KafkaAddress) -> None:
    from topics import kafka  # noqa: PLC0415
    from topics.kafka_security import REFUSED  # noqa: PLC0415

    with suppress(*kafka.AWAY), naming("Kafka", REFUSED):
        await kafka.refuse_forbidden_reading(address, TOPICS)


async def _refuse_wrong_redis(address: RedisAddress) -> None:
    from store import redis  # noqa: PLC0415

    async with redis.client(address) as mirror:
        with naming("Redis", redis.REFUSED):
            await redis.refuse_wrong_credentials(mirror)


def _tracer(settings: ObservabilitySettings, sink_name: str, life: Lifecycle) -> Tracer | None:
    """None where nobody collects spans."""
    if not settings.otlp_endpoint:
        return None
    tracing = configure_tracing(f"relay-{sink_name}", settings.otlp_endpoint)
    life.parts.push_async_callback(asyncio.to_thread, tracing.shutdown)
    return tracing.tracer


def _sink(settings: Settings, name: str) -> Sink:
    if name == "kafka":
        from topics.relay.sinks.kafka import KafkaSink  # noqa: PLC0415

        return KafkaSink(settings.kafka.address())
    from topics.relay.sinks.redis_streams import RedisSink  # noqa: PLC0415

    return RedisSink(settings.redis.address())


if __name__ == "__main__":
    main()
