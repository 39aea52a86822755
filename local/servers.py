"""The servers under the platform: embedded ones, or those the environment already names.

Each of the three is decided for itself: `PAYMENTS_DATABASE_HOST` or `_URL`, `PAYMENTS_REDIS_HOST`
or `_URL`, and `PAYMENTS_KAFKA_BOOTSTRAP_SERVERS` each replace one embedded server by a real one.
A cluster has two of Postgres, one behind the other, and three brokers. Redis is there once: nothing
is lost with it.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from local.embedded import kafka, postgres, postgres_pair, valkey
from local.embedded.postgres_pair import PostgresPair
from local.home import Home
from local.program import Program
from process.addresses import DatabaseAddress
from process.settings import Settings

_KAFKA_PORT: Final = 9092
# Of each topic a copy, and one may be away.
_BROKERS: Final = 3
_REDIS_ELSEWHERE: Final = (
    "PAYMENTS_REDIS_HOST", "PAYMENTS_REDIS_URL", "PAYMENTS_REDIS_URL_FILE",
    "PAYMENTS_REDIS_CLUSTER_NODES", "PAYMENTS_REDIS_SENTINELS",
)  # fmt: skip
_DATABASE_ELSEWHERE: Final = (
    "PAYMENTS_DATABASE_HOST", "PAYMENTS_DATABASE_URL", "PAYMENTS_DATABASE_URL_FILE",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Server:
    """Where a server is; for an embedded one, what to run and the variables that lead to it."""

    address: str
    programs: tuple[Program, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stack:
    """The three servers, prepared but not started; `pair` if the database can fail over."""

    database: Server
    database_address: DatabaseAddress
    redis: Server
    kafka: Server
    pair: PostgresPair | None = None

    @property
    def programs(self) -> tuple[Program, ...]:
        return self.database.programs + self.redis.programs + self.kafka.programs

    @property
    def variables(self) -> dict[str, str]:
        """What a process needs in its environment to reach the embedded ones."""
        return {**self.database.variables, **self.redis.variables, **self.kafka.variables}


@dataclass(frozen=True, slots=True)
class StackSpec:
    """What the servers are prepared by: where, as what, and how many of each."""

    home: Home
    settings: Settings
    environment: Mapping[str, str]
    say: Callable[[str], None]
    is_cluster: bool = False


async def prepare_stack(spec: StackSpec) -> Stack:
    """Fetch what is missing, make data directories ready, choose ports. Raises `StartError`."""
    # At the first start one waits for the network, the other for the disk.
    brokers = asyncio.create_task(_kafka(spec))
    try:
        database, address, pair = await _database(spec)
        redis = await _redis(spec.home, spec.settings, spec.environment)
        return Stack(database, address, redis, await brokers, pair)
    finally:
        brokers.cancel()
        await asyncio.wait({brokers})


async def _database(spec: StackSpec) -> tuple[Server, DatabaseAddress, PostgresPair | None]:
    home, settings = spec.home, spec.settings
    if any(spec.environment.get(each) for each in _DATABASE_ELSEWHERE):
        known = settings.database.address()
        return Server(_url(known)), known, None
    port = home.port("postgres", settings.database.port)
    if spec.is_cluster:
        # Its number is the next one, unless that is taken.
        pair = PostgresPair(home, (port, home.port("postgres-2", port + 1)))
        server = Server(_url(pair.address), await pair.programs(), _variables(pair.address))
        return server, pair.address, pair
    # In a cluster's folder whichever of its two took the writes last.
    name = postgres_pair.primary_of(home)
    program = await postgres.prepare(home.data(name), port, log=home.log("postgres"))
    embedded = postgres.address(port)
    return Server(_url(embedded), (program,), _variables(embedded)), embedded, None


def _url(database: DatabaseAddress) -> str:
    """For reading: without the password."""
    servers = ",".join(f"{host}:{port}" for host, port in database.servers)
    return f"postgresql://{database.user}@{servers}/{database.database}"


def _variables(database: DatabaseAddress) -> dict[str, str]:
    return {
        "PAYMENTS_DATABASE_HOST": database.host,
        "PAYMENTS_DATABASE_PORT": str(database.port),
        "PAYMENTS_DATABASE_USER": database.user,
        "PAYMENTS_DATABASE_PASSWORD": database.password,
        "PAYMENTS_DATABASE_DATABASE": database.database,
        "PAYMENTS_DATABASE_STANDBYS": ",".join(
            f"{host}:{port}" for host, port in database.standbys
        ),
    }


async def _redis(home: Home, settings: Settings, environment: Mapping[str, str]) -> Server:
    if any(environment.get(each) for each in _REDIS_ELSEWHERE):
        return Server(settings.redis.address().url)
    port = home.port("valkey", settings.redis.port)
    program = await valkey.prepare(home.data("valkey"), port, log=home.log("valkey"))
    variables = {"PAYMENTS_REDIS_HOST": "127.0.0.1", "PAYMENTS_REDIS_PORT": str(port)}
    return Server(f"redis://127.0.0.1:{port}", (program,), variables)


async def _kafka(spec: StackSpec) -> Server:
    home = spec.home
    if spec.environment.get("PAYMENTS_KAFKA_BOOTSTRAP_SERVERS"):
        return Server(spec.settings.kafka.bootstrap_servers)
    installation = await kafka.installed(spec.environment, spec.say)
    if spec.is_cluster:
        programs = await _brokers(home, installation)
    else:
        port = home.port("kafka", _KAFKA_PORT)
        program = await kafka.prepare(installation, home.data("kafka"), port, log=home.log("kafka"))
        programs = (program,)
    bootstrap = ",".join(program.address for program in programs)
    return Server(bootstrap, programs, {"PAYMENTS_KAFKA_BOOTSTRAP_SERVERS": bootstrap})


async def _brokers(home: Home, installation: kafka.Installation) -> tuple[Program, ...]:
    """Those of one cluster, in folders that the one broker of other runs knows nothing of."""
    names = [f"kafka-{number}" for number in range(1, _BROKERS + 1)]
    ports = [home.port(name, _KAFKA_PORT + place) for place, name in enumerate(names)]
    known = (kafka.cluster_id(home.data(name)) for name in names)
    cluster = next(filter(None, known), None) or kafka.new_cluster_id()
    prepared = [
        await kafka.prepare_node(installation, home.data(name), node, cluster, log=home.log(name))
        for name, node in zip(names, kafka.Node.cluster(ports), strict=True)
    ]
    return tuple(replace(each, name=name) for each, name in zip(prepared, names, strict=True))
