"""What connects to a server is built in one place: what a server asks for is said once."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Final

from tests.support.project.fingerprint import python_files
from tests.support.project.imports import imports_of
from tests.support.project.tree import PACKAGES, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# The call, by the last of its names that tell it apart, and the only file that may make it.
BUILT_IN: Final = {
    "AIOKafkaConsumer": "topics/kafka.py",
    "AIOKafkaProducer": "topics/kafka.py",
    "AIOKafkaAdminClient": "topics/kafka.py",
    "AIOKafkaClient": "topics/kafka.py",
    "create_conn": "topics/kafka_security.py",
    "asyncpg.connect": "store/pool.py",
    "asyncpg.create_pool": "store/pool.py",
    "AsyncConnection.connect": "topics/relay/connection.py",
    "psycopg.connect": "topics/relay/connection.py",
    "Redis": "store/redis.py",
    "Redis.from_url": "store/redis.py",
    "Redis.from_pool": "store/redis.py",
    "ConnectionPool": "store/redis.py",
    "ConnectionPool.from_url": "store/redis.py",
    "redis.asyncio.Connection": "store/redis.py",
}


def calls(path: Path) -> Iterator[str]:
    """Every call of a file, with its imported names in full: `asyncpg.connect`."""
    tree = ast.parse(path.read_text("utf-8"))
    full = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            first, *rest = ast.unparse(node.func).split(".")
            yield ".".join((full.get(first, first), *rest))


def is_call_of(call: str, name: str) -> bool:
    return call == name or call.endswith(f".{name}")


def test_clients_are_built_in_one_place_each() -> None:
    """TLS, a user or another driver is a change of one file a server."""
    built = {
        (name, str(path.relative_to(ROOT)))
        for path in python_files(*PACKAGES)
        for call in calls(path)
        for name in BUILT_IN
        if is_call_of(call, name)
    }
    elsewhere = {(name, file) for name, file in built if BUILT_IN[name] != file}
    assert elsewhere == set()
    assert {file for _, file in built} == set(BUILT_IN.values())


def test_whoever_builds_a_faust_app_asks_for_the_options_of_the_cluster() -> None:
    """A Faust app makes its clients itself: it is told what the others are told."""
    told = {"topics.kafka.faust_options", "topics.faust_credentials.credentials"}
    for path in python_files(*PACKAGES):
        made = set(calls(path))
        assert "faust.App" not in made or told <= made, path


def test_a_call_is_known_by_whatever_name_it_was_imported(tmp_path: Path) -> None:
    """Neither an alias nor a longer path hides it."""
    source = tmp_path / "sample.py"
    source.write_text(
        "from aiokafka import AIOKafkaConsumer as Reader\n"
        "import redis.asyncio\n"
        "Reader('topic')\n"
        "redis.asyncio.Redis.from_url('redis://')\n"
    )
    assert list(calls(source)) == [
        "aiokafka.AIOKafkaConsumer",
        "redis.asyncio.Redis.from_url",
    ]


def test_what_connects_keeps_nobody_from_importing_it() -> None:
    """It leads to addresses and the table of topics alone, and they to nothing that connects."""
    imports = imports_of(python_files(*PACKAGES), ROOT)
    connecting = {
        *("store.pool", "store.pooled", "store.redis", "store.redis_cluster"),
        *("topics.header_names", "topics.kafka", "topics.kafka_security", "topics.token_endpoint"),
    }
    imported = frozenset[str]().union(*(imports[each] for each in connecting))
    assert imported - connecting == {"process.addresses", "process.probing", "topics.names"}
    assert imports["process.addresses"] == imports["process.probing"] == frozenset()
