"""`python -m topics.relay --sink kafka|redis`: one relay, until SIGTERM or SIGINT.

Reads the settings from the environment, composes source and sink, serves metrics and health, and
exits 0 once what it had read is acknowledged and confirmed.
"""

import argparse
import asyncio
import signal
import time
from collections.abc import Sequence

import structlog
from prometheus_client import CollectorRegistry
from psycopg.conninfo import make_conninfo

from process import event_loop
from process.settings import Settings, read_settings
from telemetry.logging import configure
from telemetry.metrics import Metrics, serve
from topics.names import SLOTS
from topics.relay.relay import Relay, RelayOptions
from topics.relay.sinks.kafka import KafkaSink
from topics.relay.sinks.redis_streams import RedisSink
from topics.relay.sinks.sink import Sink

log = structlog.get_logger()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m topics.relay", description=__doc__)
    parser.add_argument("--sink", choices=sorted(SLOTS), required=True)
    parser.add_argument("--slot", help="replication slot; its sink's own unless said")
    parsed = parser.parse_args(arguments)
    settings = read_settings()
    configure(settings.observability.log_level, f"relay-{parsed.sink}")
    options = RelayOptions(
        conninfo=_conninfo(settings, parsed.sink), slot=parsed.slot or SLOTS[parsed.sink]
    )
    event_loop.run(_run(settings, options, parsed.sink))


async def _run(settings: Settings, options: RelayOptions, sink_name: str) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    metrics = Metrics(CollectorRegistry())
    relay = Relay(options, _sink(settings, sink_name, metrics), metrics, time.time)
    shown = settings.observability
    async with serve(metrics, shown.metrics_host, shown.metrics_port, lambda: relay.is_ready):
        await relay.run(stop)
    log.info("stopped")


def _sink(settings: Settings, name: str, metrics: Metrics) -> Sink:
    if name == "kafka":
        oversized = metrics.relay.oversized.labels(name).inc
        return KafkaSink(settings.kafka.bootstrap_servers, oversized)
    return RedisSink(settings.redis.host, settings.redis.port)


def _conninfo(settings: Settings, sink: str) -> str:
    database = settings.database
    return make_conninfo(
        host=database.host,
        port=database.port,
        user=database.user,
        password=database.password.get_secret_value(),
        dbname=database.database,
        application_name=f"payments-relay-{sink}",
    )


if __name__ == "__main__":
    main()
