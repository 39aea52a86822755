"""`python -m bench.scaling`: what so many payments a second need, calculated from what one costs.

Nothing is measured here. The figures of a payment are those of docs/SCALING.md, and each says
where it comes from; whoever measures others says so with `--set`. Nodes are counted at the peak.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from math import ceil
from typing import Final

import click

# Of the workload that the table begins with, payments a second on average.
LOADS: Final = (10, 100, 1_000, 10_000)

_SECONDS_OF_MONTH: Final = 30 * 86_400
_MB: Final = 1e6
_TB: Final = 1e12
# A broker that stores three copies, on ordinary disks and a 10 Gbit/s network.
_BROKER_MB_S: Final = 50.0
_BROKERS_MIN: Final = 3
# What one server of Redis answers in pipelines; it has one thread for it.
_REDIS_COMMANDS_S: Final = 100_000.0
# Of one Postgres: more backends than this cost it more than they bring.
_CONNECTIONS_MAX: Final = 500
_PARTITIONS_MIN: Final = 12
_RETENTION_DAYS: Final = 7


@dataclass(frozen=True, slots=True)
class Assumptions:
    """Of one payment, and of the machines; CPU in milliseconds of one core."""

    ingress_ms: float = 0.3
    charge_ms: float = 0.7
    relay_kafka_ms: float = 0.2
    relay_redis_ms: float = 0.15
    schedule_ms: float = 0.1
    postgres_ms: float = 0.3
    broker_ms: float = 0.5
    redis_ms: float = 0.05
    # A payment costs more where batches are smaller than at capacity.
    small_batches: float = 1.4
    # Rows of the outbox, which are messages in Kafka, and what each is there.
    messages: float = 4.0
    message_bytes: float = 800.0
    wal_bytes: float = 12_200.0
    # Of tables with their indexes: for ever, and of the outbox for its retention.
    kept_bytes: float = 2_800.0
    outbox_bytes: float = 3_200.0
    redis_commands: float = 9.0
    # How many times the average the busiest minute has.
    peak: float = 3.0
    # How busy a core may be, so that queues stay short.
    busy: float = 0.6
    cores_of_node: float = 16.0
    # One relay reads one slot, in one process.
    relay_rows_s: float = 22_000.0
    # Of one primary, with room for vacuum, backups and readers.
    primary_cores: float = 32.0
    primary_wal_mb_s: float = 100.0
    pool_size: float = 8.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What a load needs, in the order of the table."""

    payments_a_second: int
    at_the_peak: int
    payments_a_month_millions: float
    ingresses: int
    charge_workers: int
    partitions_of_charges: int
    pipelines: int
    postgres_cores_each: int
    wal_mb_a_second_each: float
    connections_each: int
    needs_a_pooler: str
    storage_tb_a_month: float
    outbox_tb: float
    messages_a_second: int
    kafka_mb_a_second: float
    brokers: int
    redis_servers: int
    cores: int
    nodes: int


def plan(load: int, given: Assumptions) -> Plan:
    """For so many payments a second on average.

    A pipeline is one Postgres with its relays: what outgrows a relay, a primary's cores or its WAL
    is divided, by tenant.
    """
    peak = load * given.peak
    relayed = given.relay_rows_s * given.busy / given.messages
    by_cores = given.primary_cores * given.busy * 1000 / (given.postgres_ms * given.small_batches)
    by_wal = given.primary_wal_mb_s * _MB / given.wal_bytes
    pipelines = ceil(peak / min(relayed, by_cores, by_wal))
    ingresses = max(2, _cores(peak, given.ingress_ms, given))
    workers = max(2, _cores(peak, given.charge_ms, given))
    # Refunds, the schedule, dead letters and webhooks, two of each; relays and their standbys.
    others = 8 + 4 * pipelines
    connections = ceil((ingresses + workers + others) * given.pool_size / pipelines)
    kafka_mb = peak * given.messages * given.message_bytes / _MB
    cores = sum(
        _cores(peak, cost, given)
        for cost in (
            given.ingress_ms,
            given.charge_ms,
            given.relay_kafka_ms,
            given.relay_redis_ms,
            given.schedule_ms,
            given.postgres_ms,
            given.broker_ms,
            given.redis_ms,
        )
    )
    return Plan(
        payments_a_second=load,
        at_the_peak=round(peak),
        payments_a_month_millions=load * _SECONDS_OF_MONTH / 1e6,
        ingresses=ingresses,
        charge_workers=workers,
        partitions_of_charges=max(_PARTITIONS_MIN, 2 * workers),
        pipelines=pipelines,
        postgres_cores_each=max(2, ceil(_cores(peak, given.postgres_ms, given) / pipelines)),
        wal_mb_a_second_each=peak * given.wal_bytes / _MB / pipelines,
        connections_each=connections,
        needs_a_pooler="yes" if connections > _CONNECTIONS_MAX else "no",
        storage_tb_a_month=load * _SECONDS_OF_MONTH * given.kept_bytes / _TB,
        outbox_tb=load * _RETENTION_DAYS * 86_400 * given.outbox_bytes / _TB,
        messages_a_second=round(peak * given.messages),
        kafka_mb_a_second=kafka_mb,
        brokers=max(_BROKERS_MIN, ceil(3 * kafka_mb / _BROKER_MB_S)),
        redis_servers=max(1, ceil(peak * given.redis_commands / (_REDIS_COMMANDS_S * given.busy))),
        cores=cores,
        nodes=max(3, ceil(cores / given.cores_of_node)),
    )


def table(given: Assumptions) -> str:
    """Of all loads, as the page has it."""
    plans = [asdict(plan(load, given)) for load in LOADS]
    times = (f"{load // LOADS[0]:,} times" for load in LOADS[1:])
    head = ["", "today", *times]
    rows = [[name.replace("_", " "), *(_shown(each[name]) for each in plans)] for name in plans[0]]
    lines = [head, ["---", *("---:" for _ in plans)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cores(peak: float, milliseconds: float, given: Assumptions) -> int:
    return ceil(peak * milliseconds * given.small_batches / 1000 / given.busy)


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.{0 if value >= 100 else 1 if value >= 1 else 2}f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


@click.command()
@click.option("--set", "others", multiple=True, metavar="NAME=NUMBER", help="Instead of ours.")
def main(others: tuple[str, ...]) -> None:
    """Print the table of docs/SCALING.md, with figures of one's own."""
    given = Assumptions()
    known = {each.name for each in fields(Assumptions)}
    for each in others:
        name, _, value = each.partition("=")
        if name not in known:
            raise click.BadParameter(f"{name} is none of {', '.join(sorted(known))}")
        given = replace(given, **{name: float(value)})
    click.echo(table(given), nl=False)


if __name__ == "__main__":
    main()
