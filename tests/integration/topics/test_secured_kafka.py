"""A Kafka that asks for TLS, a user and permission: our clients come in, or say why they do not."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from faust.auth import OAuthCredentials

from process.addresses import KafkaAddress, SaslClient
from process.servers import KafkaSettings
from tests.support.certificates import Authority
from tests.support.fixtures.secured_kafka import Permission
from tests.support.providers.proxy import proxy_to
from tests.support.topics.issuer import ID, SECRET, issuer, unsigned
from topics import kafka
from topics.faust_credentials import credentials
from topics.kafka_security import REFUSED
from topics.names import EVENTS, Topic
from topics.token_endpoint import TokenEndpoint

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.support.fixtures.secured_kafka import SecuredKafka


def address(settings: Mapping[str, str]) -> KafkaAddress:
    """As a process reads it."""
    return KafkaSettings.model_validate(settings).address()


def without(settings: Mapping[str, str], *parts: str) -> dict[str, str]:
    """The settings but those whose names have one of the parts."""
    return {
        name: value for name, value in settings.items() if not any(part in name for part in parts)
    }


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    """A token that says who we are, unsigned: the broker of the tests believes everybody."""
    file = tmp_path / "token"
    file.write_text(unsigned("relay") + "\n")
    return file


async def pass_messages(where: KafkaAddress, topic: Topic) -> None:
    """Make the topic, write to it, and read it as a member of a group."""
    await kafka.create_missing(where, (topic,))
    producer = kafka.producer(where, "tests", enable_idempotence=True)
    await producer.start()
    try:
        await producer.send_and_wait(topic.name, b"value", b"key")
    finally:
        await producer.stop()
    reading = {"group_id": topic.name, "auto_offset_reset": "earliest"}
    async with kafka.reader(where, "tests", topic.name, **reading) as reader:
        assert (await reader.getone()).value == b"value"
        await reader.commit()


@pytest.mark.parametrize(
    "way", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "certificate"]
)
async def test_there_are_five_ways_in(
    secured_kafka: SecuredKafka, token_file: Path, way: str
) -> None:
    """Administrator, producer, consumer and member of a group are told the same."""
    match way:
        case "certificate":
            settings = secured_kafka.settings("relay", "MUTUAL")
        case "OAUTHBEARER":
            token = {"SASL_MECHANISM": way, "SASL_TOKEN_FILE": str(token_file)}
            settings = without(secured_kafka.settings("relay", **token), "USER", "PASSWORD")
        case mechanism:
            settings = secured_kafka.settings("relay", SASL_MECHANISM=mechanism)
    name = f"w{uuid4().hex}"
    await secured_kafka.allow(
        Permission("relay", resource, name, operation)
        for resource, operation in (
            ("topic", "Create"),
            ("topic", "Read"),
            ("topic", "Write"),
            ("group", "Read"),
        )
    )
    await pass_messages(address(settings), replace(EVENTS, name=name, partitions=1))


async def test_a_renewed_token_is_taken_by_the_next_connection(
    secured_kafka: SecuredKafka, token_file: Path
) -> None:
    """Whoever renews it writes the file; nobody restarts."""
    token = {"SASL_MECHANISM": "OAUTHBEARER", "SASL_TOKEN_FILE": str(token_file)}
    where = address(without(secured_kafka.settings("relay", **token), "USER", "PASSWORD"))
    good = token_file.read_text()
    token_file.write_text("nonsense")
    with pytest.raises(REFUSED):
        await reached(where)
    token_file.write_text(good)
    await reached(where)


def issued(secured: SecuredKafka, url: str, secret: str = SECRET) -> KafkaAddress:
    client = {"SASL_CLIENT_ID": ID, "SASL_CLIENT_SECRET": secret, "SASL_SCOPE": "kafka"}
    ours = {"SASL_MECHANISM": "OAUTHBEARER", "SASL_TOKEN_URL": url, **client}
    return address(without(secured.settings("relay", **ours), "_USER", "_PASSWORD"))


async def test_an_issuer_is_asked_once_for_all_connections_of_a_client(
    secured_kafka: SecuredKafka,
) -> None:
    """Until its token is about to run out; as who we are, and for what."""
    async with issuer() as known:
        provider = TokenEndpoint(client_at(secured_kafka, known.url))
        tokens = await asyncio.gather(*(provider.token() for _ in range(5)))
        assert len(set(tokens)) == len(known.asked) == 1
        assert known.asked[0] == {"grant_type": "client_credentials", "scope": "kafka"}
        await reached(issued(secured_kafka, known.url))
        known.lifetime_s = 0
        brief = TokenEndpoint(client_at(secured_kafka, known.url))
        before = len(known.asked)
        await brief.token()
        await brief.token()
        assert len(known.asked) == before + 2


def client_at(secured: SecuredKafka, url: str) -> SaslClient:
    client = issued(secured, url).sasl
    assert isinstance(client, SaslClient)
    return client


async def test_an_issuer_outside_is_asked_through_the_proxy(
    monkeypatch: pytest.MonkeyPatch, secured_kafka: SecuredKafka
) -> None:
    """The one that the environment names, as for providers; one on this machine is near."""
    async with issuer() as known, proxy_to(urlsplit(known.url).port or 0) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"us:word@{proxy.address}")
        monkeypatch.setenv("NO_PROXY", "")
        outside = client_at(secured_kafka, "https://issuer.example/token")
        assert outside.proxy == f"http://us:word@{proxy.address}"
        assert "word" not in repr(outside)
        assert client_at(secured_kafka, known.url).proxy is None
        plain = replace(outside, url="http://issuer.example/token")
        assert await TokenEndpoint(plain).token() == unsigned("relay")
    assert proxy.heads[0].startswith("POST http://issuer.example/token HTTP/1.1\r\n")


async def test_faust_takes_tokens_from_an_issuer_too(secured_kafka: SecuredKafka) -> None:
    async with issuer() as known:
        told = credentials(issued(secured_kafka, known.url))
        assert isinstance(told, OAuthCredentials)
        assert await told.oauth_cb.token() == unsigned("relay")


async def test_an_issuer_that_refuses_us_is_told_from_one_that_is_away(
    secured_kafka: SecuredKafka,
) -> None:
    async with issuer() as known:
        with pytest.raises(REFUSED, match="401 invalid_client"):
            await reached(issued(secured_kafka, known.url, "wrong"))
        gone = known.url
    with pytest.raises(kafka.AWAY) as told:
        await reached(issued(secured_kafka, gone))
    assert not isinstance(told.value, REFUSED)


async def reached(where: KafkaAddress) -> None:
    async with kafka.administration(where) as admin:
        assert (await admin.describe_cluster())["brokers"]


@pytest.mark.parametrize(
    ("listener", "lacks", "others", "said"),
    [
        ("SECURED", (), {"SASL_PASSWORD": "wrong"}, "invalid credentials"),
        ("SECURED", (), {"SASL_MECHANISM": "PLAIN", "SASL_PASSWORD": "wrong"}, "Invalid username"),
        ("SECURED", ("CA_FILE",), {}, "unable to get local issuer"),
        ("EXPIRED", (), {}, "certificate has expired"),
        ("MISNAMED", (), {}, "not valid for 'localhost'"),
        ("MUTUAL", ("CERTIFICATE", "KEY"), {}, "(?i)alert"),
    ],
)  # fmt: skip
async def test_who_is_refused_is_told_why(
    secured_kafka: SecuredKafka,
    listener: str,
    lacks: tuple[str, ...],
    others: dict[str, str],
    said: str,
) -> None:
    """And does not wait for what waiting cannot mend."""
    where = address(without(secured_kafka.settings("relay", listener, **others), *lacks))
    with pytest.raises(REFUSED, match=said):
        await reached(where)


async def test_a_certificate_of_another_authority_is_refused_by_the_broker(
    secured_kafka: SecuredKafka, tmp_path: Path
) -> None:
    """It says so only after the handshake, to whoever reads."""
    paper = Authority(tmp_path).issue("relay")
    stranger = {
        "SSL_CERTIFICATE_FILE": str(paper.certificate),
        "SSL_KEY_FILE": str(paper.key),
    }
    with pytest.raises(REFUSED, match=r"(?i)alert"):
        await reached(address(secured_kafka.settings("relay", "MUTUAL", **stranger)))


async def test_what_may_not_be_created_is_waited_for(secured_kafka: SecuredKafka) -> None:
    """Somebody else may create it."""
    topic = replace(EVENTS, name=f"w{uuid4().hex}")
    where = address(secured_kafka.settings("nobody"))
    with pytest.raises(kafka.TopicMissing, match="we may not create it"):
        await kafka.create_missing(where, (topic,))
    assert not issubclass(kafka.TopicMissing, REFUSED)


async def test_tls_where_there_is_none_is_told_from_nobody(secured_kafka: SecuredKafka) -> None:
    """And the reverse: neither waiting nor another try would mend it."""
    settings = secured_kafka.settings("relay")
    elsewhere = f"localhost:{secured_kafka.ports['INSIDE']}"
    for wrong, said in (
        (address({**settings, "PAYMENTS_KAFKA_BOOTSTRAP_SERVERS": elsewhere}), "speak TLS"),
        (KafkaAddress(f"localhost:{secured_kafka.ports['SECURED']}"), "told to do without"),
    ):
        with pytest.raises(REFUSED, match=said):
            await kafka.refuse_forbidden_reading(wrong, ())


async def test_who_says_nothing_is_away(secured_kafka: SecuredKafka) -> None:
    """A balancer without a broker behind it, above all: it takes connections, and ends them."""
    settings = secured_kafka.settings("relay")

    def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        at = f"localhost:{server.sockets[0].getsockname()[1]}"
        for where in (
            address({**settings, "PAYMENTS_KAFKA_BOOTSTRAP_SERVERS": at}),
            KafkaAddress(at),
        ):
            with pytest.raises(kafka.AWAY) as told:
                await kafka.refuse_forbidden_reading(where, ())
            assert not isinstance(told.value, REFUSED)
