"""The whole platform on a company's servers: TLS, users and permissions, by settings alone."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from local.embedded import postgres, valkey
from local.program import free_port, running
from process.addresses import RedisAddress
from store import redis
from tests.support.acceptance.client import client_of
from tests.support.acceptance.running import Installation
from tests.support.certificates import Authority
from tests.support.fixtures.secured_kafka import Permission, SecuredKafka
from tests.support.tls_front import context_of, tls_front
from topics.kafka import administration
from topics.names import TOPICS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

# What a URL, a shell and a settings file each have words of their own for.
_SECRET = "p@ss:w/rd #1"
# Of everybody: under `payments run` all processes are one user.
_ALLOWED = (
    *(("topic", "payments*", each) for each in ("Create", "Read", "Write", "Alter", "Describe")),
    *(("topic", "payments*", each) for each in ("DescribeConfigs", "AlterConfigs")),
    *(("group", "payments*", each) for each in ("Read", "Describe")),
    *(("transactional id", "payments-relay-*", each) for each in ("Write", "Describe")),
    ("cluster", "kafka-cluster", "Describe"),
)


@dataclass(frozen=True, slots=True)
class Company:
    """Its servers, and the variables by which they are reached."""

    variables: dict[str, str]


@pytest.fixture
async def company(tmp_path: Path, secured_kafka: SecuredKafka) -> AsyncIterator[Company]:
    """Postgres asks for a client's certificate, Redis for TLS and a user, Kafka for SCRAM."""
    papers = Authority(tmp_path / "papers")
    server, ours = papers.issue("server", "localhost"), papers.issue("payments")
    ours.key.chmod(0o600)  # libpq takes no other
    database = await postgres.prepare(tmp_path / "pg", free_port(), log=tmp_path / "pg.log")
    cache = await valkey.prepare(tmp_path / "valkey", free_port(), log=tmp_path / "valkey.log")
    assert database.port is not None
    assert cache.port is not None
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(running(database))
        await stack.enter_async_context(running(cache))
        await _only_for_a_user(cache.port)
        asks = context_of(server, papers.authority)
        front = tls_front(("127.0.0.1", database.port), asks, asked_first=True)
        postgres_port = await stack.enter_async_context(front)
        front = tls_front(("127.0.0.1", cache.port), context_of(server))
        redis_port = await stack.enter_async_context(front)
        await secured_kafka.allow(Permission("relay", *each) for each in _ALLOWED)
        kafka = secured_kafka.settings("relay", SASL_MECHANISM="SCRAM-SHA-512")
        password = tmp_path / "kafka-password"
        password.write_text(f"{kafka.pop('PAYMENTS_KAFKA_SASL_PASSWORD')}\n")
        yield Company(
            {
                "PAYMENTS_DATABASE_URL": f"postgresql://payments:{quote(_SECRET, safe='')}"
                f"@localhost:{postgres_port}/payments?sslmode=verify-full",
                "PAYMENTS_DATABASE_SSL_CA_FILE": str(papers.authority),
                "PAYMENTS_DATABASE_SSL_CERTIFICATE_FILE": str(ours.certificate),
                "PAYMENTS_DATABASE_SSL_KEY_FILE": str(ours.key),
                "PAYMENTS_REDIS_URL": f"rediss://payments:{quote(_SECRET, safe='')}"
                f"@localhost:{redis_port}",
                "PAYMENTS_REDIS_SSL_CA_FILE": str(papers.authority),
                **kafka,
                "PAYMENTS_KAFKA_SASL_PASSWORD_FILE": str(password),
            }
        )
        await secured_kafka.forbid("relay")
        async with administration(secured_kafka.inside) as admin:
            await admin.delete_topics([each.name for each in TOPICS])


async def _only_for_a_user(port: int) -> None:
    async with redis.client(RedisAddress("127.0.0.1", port), timeout_s=5) as opened:
        rules = ("on", f">{_SECRET}", "~payments*", "+@all", "-config")
        await opened.execute_command("ACL", "SETUSER", "payments", *rules)  # type: ignore[no-untyped-call]
        await opened.execute_command("ACL", "SETUSER", "default", "off")  # type: ignore[no-untyped-call]


def _installed(folder: Path, company: Company) -> Installation:
    folder.mkdir()
    installation = Installation.in_folder(folder)
    own = {
        name: value
        for name, value in installation.variables.items()
        if name not in {"PAYMENTS_DATABASE_PORT", "PAYMENTS_REDIS_PORT"}
    }
    return replace(installation, variables=own | company.variables)


async def test_payments_are_made_on_servers_that_let_nobody_in_otherwise(
    tmp_path: Path, company: Company
) -> None:
    """Nothing of ours is embedded; ingress, relays, stages, lag and commands all come in."""
    installation = _installed(tmp_path / "run", company)
    try:
        await installation.start()
        assert {each.name for each in installation.record.processes}.isdisjoint(
            {"postgres", "valkey", "kafka"}
        )
        async with client_of(installation.url) as client:
            account = await client.account()
            payments = [await client.pay(account, "1.00") for _ in range(5)]
            ended = [await client.ended(each["id"]) for each in payments]
        assert {each["status"] for each in ended} == {"completed"}
        await installation.assert_sound()
        assert await installation.interrupt() == 0
    finally:
        installation.end()


async def test_a_wrong_password_is_one_sentence(tmp_path: Path, company: Company) -> None:
    """Of the process that was refused, and the run ends."""
    wrong = {**company.variables, "PAYMENTS_KAFKA_SASL_PASSWORD": "of somebody else"}
    del wrong["PAYMENTS_KAFKA_SASL_PASSWORD_FILE"]
    installation = _installed(tmp_path / "run", Company(wrong))
    try:
        with pytest.raises(AssertionError, match=r"Kafka .*(refuse|authenticat)"):
            await installation.start()
    finally:
        installation.end()
