"""The servers under the platform: embedded ones, or those the environment already names.

Each of the three is decided for itself: `PAYMENTS_DATABASE_HOST` or `_URL`, `PAYMENTS_REDIS_HOST`
or `_URL`, and `PAYMENTS_KAFKA_BOOTSTRAP_SERVERS` each replace one embedded server by a real one.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from local.embedded import kafka, postgres, valkey
from local.home import Home
from local.program import Program
from process.addresses import DatabaseAddress
from process.settings import Settings

_KAFKA_PORT: Final = 9092
_REDIS_ELSEWHERE: Final = (
    "PAYMENTS_REDIS_HOST", "PAYMENTS_REDIS_URL", "PAYMENTS_REDIS_URL_FILE",
    "PAYMENTS_REDIS_SENTINELS",
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
    """The three servers, prepared but not started."""

    database: Server
    database_address: DatabaseAddress
    redis: Server
    kafka: Server

    @property
    def programs(self) -> tuple[Program, ...]:
        return self.database.programs + self.redis.programs + self.kafka.programs

    @property
    def variables(self) -> dict[str, str]:
        """What a process needs in its environment to reach the embedded ones."""
        return {**self.database.variables, **self.redis.variables, **self.kafka.variables}


async def prepare_stack(
    home: Home, settings: Settings, environment: Mapping[str, str], say: Callable[[str], None]
) -> Stack:
    """Fetch what is missing, make data directories ready, choose ports. Raises `StartError`."""
    # At the first start one waits for the network, the other for the disk.
    broker = asyncio.create_task(_kafka(home, settings, environment, say))
    try:
        database, database_address = await _database(home, settings, environment)
        redis = await _redis(home, settings, environment)
        return Stack(database, database_address, redis, await broker)
    finally:
        broker.cancel()
        await asyncio.wait({broker})


async def _database(
    home: Home, settings: Settings, environment: Mapping[str, str]
) -> tuple[Server, DatabaseAddress]:
    if any(environment.get(each) for each in _DATABASE_ELSEWHERE):
        known = settings.database.address()
        return Server(_url(known)), known
    port = home.port("postgres", settings.database.port)
    program = await postgres.prepare(home.data("postgres"), port, log=home.log("postgres"))
    embedded = postgres.address(port)
    return Server(_url(embedded), (program,), _variables(embedded)), embedded


def _url(database: DatabaseAddress) -> str:
    """For reading: without the password."""
    return f"postgresql://{database.user}@{database.host}:{database.port}/{database.database}"


def _variables(database: DatabaseAddress) -> dict[str, str]:
    return {
        "PAYMENTS_DATABASE_HOST": database.host,
        "PAYMENTS_DATABASE_PORT": str(database.port),
        "PAYMENTS_DATABASE_USER": database.user,
        "PAYMENTS_DATABASE_PASSWORD": database.password,
        "PAYMENTS_DATABASE_DATABASE": database.database,
    }


async def _redis(home: Home, settings: Settings, environment: Mapping[str, str]) -> Server:
    if any(environment.get(each) for each in _REDIS_ELSEWHERE):
        return Server(settings.redis.address().url)
    port = home.port("valkey", settings.redis.port)
    program = await valkey.prepare(home.data("valkey"), port, log=home.log("valkey"))
    variables = {"PAYMENTS_REDIS_HOST": "127.0.0.1", "PAYMENTS_REDIS_PORT": str(port)}
    return Server(f"redis://127.0.0.1:{port}", (program,), variables)


async def _kafka(
    home: Home, settings: Settings, environment: Mapping[str, str], say: Callable[[str], None]
) -> Server:
    if environment.get("PAYMENTS_KAFKA_BOOTSTRAP_SERVERS"):
        return Server(settings.kafka.bootstrap_servers)
    installation = await kafka.installed(environment, say)
    port = home.port("kafka", _KAFKA_PORT)
    program = await kafka.prepare(installation, home.data("kafka"), port, log=home.log("kafka"))
    bootstrap = f"127.0.0.1:{port}"
    return Server(bootstrap, (program,), {"PAYMENTS_KAFKA_BOOTSTRAP_SERVERS": bootstrap})
