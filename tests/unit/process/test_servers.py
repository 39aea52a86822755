"""How the servers are reached: each way in has its variables, and no way is half chosen."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from process.addresses import (
    DatabaseAddress,
    KafkaAddress,
    RedisAddress,
    SaslPassword,
    SaslToken,
    Sentinels,
    Tls,
)
from process.sections import complaints
from process.servers import DatabaseSettings, KafkaSettings, RedisSettings
from tests.support.certificates import Authority

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.certificates import Paper


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No `PAYMENTS_*` of the machine decides a test."""
    for name in [name for name in os.environ if name.startswith("PAYMENTS_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("papers"))


@pytest.fixture(scope="module")
def paper(authority: Authority) -> Paper:
    return authority.issue("us")


def kafka(monkeypatch: pytest.MonkeyPatch, **variables: str) -> KafkaSettings:
    for name, value in variables.items():
        monkeypatch.setenv(f"PAYMENTS_KAFKA_{name}", value)
    return KafkaSettings()


def test_a_kafka_that_asks_for_nothing_is_told_nothing() -> None:
    assert KafkaSettings().address() == KafkaAddress("localhost:9092")


def test_a_user_comes_with_a_password_that_nobody_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = kafka(
        monkeypatch,
        SECURITY_PROTOCOL="SASL_SSL",
        SASL_USER="us",
        SASL_PASSWORD="hunter2",
        SASL_MECHANISM="SCRAM-SHA-256",
    )
    address = settings.address()
    assert address.sasl == SaslPassword("SCRAM-SHA-256", "us", "hunter2")
    assert address.tls is not None
    assert "hunter2" not in repr(settings) + repr(address)


def test_a_token_is_named_by_its_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.touch()
    settings = kafka(
        monkeypatch,
        SECURITY_PROTOCOL="SASL_SSL",
        SASL_MECHANISM="OAUTHBEARER",
        SASL_TOKEN_FILE=str(token),
    )
    assert settings.address().sasl == SaslToken(token)


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1:1", "[::1]:1"])
def test_a_password_is_shown_to_this_machine_alone(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    """Where a mesh listens, which encrypts what leaves."""
    user = {"SASL_USER": "us", "SASL_PASSWORD": "hunter2", "SASL_MECHANISM": "PLAIN"}
    way = {"SECURITY_PROTOCOL": "SASL_PLAINTEXT", "BOOTSTRAP_SERVERS": host}
    assert kafka(monkeypatch, **user, **way).address().servers[0][1] == 1


_ISSUED = {
    "SECURITY_PROTOCOL": "SASL_SSL",
    "SASL_MECHANISM": "OAUTHBEARER",
    "SASL_TOKEN_URL": "https://issuer.example/token",
    "SASL_CLIENT_ID": "us",
    "SASL_CLIENT_SECRET": "hunter2",
}
_USER = {"SASL_USER": "us", "SASL_PASSWORD": "hunter2"}


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"SECURITY_PROTOCOL": "TLS"}, "PAYMENTS_KAFKA_SECURITY_PROTOCOL: Input should be"),
        ({"SECURITY_PROTOCOL": "SASL_SSL"}, "PAYMENTS_KAFKA_SASL_PASSWORD are both needed"),
        (
            {"SECURITY_PROTOCOL": "SASL_SSL", "SASL_MECHANISM": "OAUTHBEARER"},
            "PAYMENTS_KAFKA_SASL_TOKEN_FILE or PAYMENTS_KAFKA_SASL_TOKEN_URL is needed",
        ),
        (_USER, "PAYMENTS_KAFKA_SASL_USER has no use with PAYMENTS_KAFKA_SECURITY_PROTOCOL=PLAIN"),
        ({"SSL_CA_FILE": "/etc/hosts"}, "PAYMENTS_KAFKA_SSL_CA_FILE has no use with"),
        ({"SSL_CA_FILE": "/no/such/file"}, "/no/such/file cannot be read (No such file or"),
        (
            {"SECURITY_PROTOCOL": "SSL", "SSL_CA_FILE": "/etc/hosts"},
            "what PAYMENTS_KAFKA_SSL_* name cannot be used",
        ),
        (
            {
                "SECURITY_PROTOCOL": "SASL_PLAINTEXT",
                "SASL_MECHANISM": "PLAIN",
                "BOOTSTRAP_SERVERS": "localhost:1,kafka:1",
                **_USER,
            },
            "shows the secret to the network",
        ),
        (
            {**_ISSUED, "SASL_TOKEN_URL": "http://issuer.example/token"},
            "PAYMENTS_KAFKA_SASL_TOKEN_URL is to begin with https://",
        ),
        ({**_ISSUED, "SASL_CLIENT_ID": ""}, "PAYMENTS_KAFKA_SASL_CLIENT_SECRET are both needed"),
        ({**_ISSUED, "SASL_TOKEN_FILE": "/etc/hosts"}, "are both set: which is meant?"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], said: str
) -> None:
    """A password that would not be asked for, above all: its owner believes that it is."""
    for name, value in variables.items():
        monkeypatch.setenv(f"PAYMENTS_KAFKA_{name}", value)
    (complaint,) = complaints(KafkaSettings)
    assert said in complaint
    assert "hunter2" not in complaint


def test_a_key_is_of_its_certificate(
    monkeypatch: pytest.MonkeyPatch, authority: Authority, paper: Paper
) -> None:
    """Or the process ends at its start, and not at the first handshake."""
    own = {"SECURITY_PROTOCOL": "SSL", "SSL_CERTIFICATE_FILE": str(paper.certificate)}
    tls = kafka(monkeypatch, **own, SSL_KEY_FILE=str(paper.key)).address().tls
    assert tls is not None
    tls.context()
    monkeypatch.setenv("PAYMENTS_KAFKA_SSL_KEY_FILE", str(authority.issue("others").key))
    assert "KEY_VALUES_MISMATCH" in complaints(KafkaSettings)[0]


def test_a_database_is_named_by_one_url(
    monkeypatch: pytest.MonkeyPatch, authority: Authority
) -> None:
    """Whatever is no letter is written as a URL has it; variables say what it does not."""
    monkeypatch.setenv(
        "PAYMENTS_DATABASE_URL",
        f"postgresql://o%27hara@db.example/pay?sslmode=verify-full&sslrootcert={authority.authority}",
    )
    monkeypatch.setenv("PAYMENTS_DATABASE_PASSWORD", "a b@c")
    assert DatabaseSettings().address() == DatabaseAddress(
        host="db.example",
        port=5432,
        user="o'hara",
        password="a b@c",
        database="pay",
        sslmode="verify-full",
        tls=Tls(authority.authority),
    )


def test_a_url_has_the_password_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYMENTS_DATABASE_URL", "postgres://us:a%40b@[::1]:5433/pay")
    address = DatabaseSettings().address()
    assert (address.host, address.port, address.password) == ("::1", 5433, "a@b")


def test_of_several_servers_the_one_that_takes_writes_is_meant(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As libpq's URLs have it, or by a variable."""
    servers = "one,two:5433,[::1]"
    url = f"postgresql://us:a@{servers}/pay?target_session_attrs=read-write"
    monkeypatch.setenv("PAYMENTS_DATABASE_URL", url)
    address = DatabaseSettings().address()
    assert address.servers == (("one", 5432), ("two", 5433), ("::1", 5432))
    assert "host='one,two,::1'" in address.conninfo("tests")
    assert "port='5432,5433,5432'" in address.conninfo("tests")
    assert "target_session_attrs='read-write'" in address.conninfo("tests")
    monkeypatch.delenv("PAYMENTS_DATABASE_URL")
    monkeypatch.setenv("PAYMENTS_DATABASE_STANDBYS", "two:5433")
    assert DatabaseSettings().address().servers == (("localhost", 5432), ("two", 5433))
    monkeypatch.setenv("PAYMENTS_DATABASE_POOLER_HOST", "bouncer")
    assert DatabaseSettings().pooled_address().servers == (("bouncer", 6432),)


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"STANDBYS": "two"}, "expected host:port"),
        ({"URL": "postgresql://us@db/pay?target_session_attrs=any"}, "has a parameter target_"),
        ({"URL": "mysql://us:hunter2@db/pay"}, "URL is to begin with postgresql://"),
        ({"URL": "postgresql://us:hunter2/3@db/pay"}, "PAYMENTS_DATABASE_URL is no URL"),
        ({"URL": "postgresql://us:hunter2@db/pay?fallback=x"}, "has a parameter fallback"),
        (
            {"URL": "postgresql://us:hunter2@db/pay", "HOST": "other"},
            "PAYMENTS_DATABASE_URL and PAYMENTS_DATABASE_HOST are both set",
        ),
        ({"SSLMODE": "verify-full"}, "PAYMENTS_DATABASE_SSL_CA_FILE is needed for verify-full"),
        ({"SSL_CA_FILE": "/etc/hosts"}, "has no use with PAYMENTS_DATABASE_SSLMODE=prefer"),
        ({"SSLMODE": "allow"}, "PAYMENTS_DATABASE_SSLMODE: Input should be"),
        (
            {"SSLMODE": "require", "SSL_CA_FILE": "/etc/hosts"},
            "what PAYMENTS_DATABASE_SSL_* name cannot be used",
        ),
    ],
)
def test_what_a_database_cannot_be_told_is_refused_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], said: str
) -> None:
    """Which never repeats the URL: it has a password."""
    for name, value in variables.items():
        monkeypatch.setenv(f"PAYMENTS_DATABASE_{name}", value)
    (complaint,) = complaints(DatabaseSettings)
    assert said in complaint
    assert "hunter2" not in complaint


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://cache", RedisAddress("cache", 6379)),
        ("redis://us:a%40b@[::1]:1/2", RedisAddress("::1", 1, "us", "a@b", 2)),
        ("redis://:hunter2@cache", RedisAddress("cache", 6379, "", "hunter2")),
        ("rediss://cache:6380", RedisAddress("cache", 6380, tls=Tls())),
        ("unix:///run/redis.sock", RedisAddress("/run/redis.sock", 6379)),
    ],
)
def test_a_redis_is_named_by_one_url(
    monkeypatch: pytest.MonkeyPatch, url: str, address: RedisAddress
) -> None:
    monkeypatch.setenv("PAYMENTS_REDIS_URL", url)
    assert RedisSettings().address() == address
    assert "hunter2" not in address.url + repr(address) + repr(RedisSettings())


def test_a_cluster_is_known_by_some_of_its_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYMENTS_REDIS_CLUSTER_NODES", "one:7000, two:7001")
    address = RedisSettings().address()
    assert address == RedisAddress("one", 7000, cluster=(("one", 7000), ("two", 7001)))
    monkeypatch.setenv("PAYMENTS_REDIS_DATABASE", "1")
    assert complaints(RedisSettings) == [
        "PAYMENTS_REDIS_DATABASE has no use with PAYMENTS_REDIS_CLUSTER_NODES."
    ]


def test_sentinels_are_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYMENTS_REDIS_SENTINELS", "one:26379, two:26379")
    monkeypatch.setenv("PAYMENTS_REDIS_SENTINEL_MASTER", "books")
    known = RedisSettings().address().sentinels
    assert known == Sentinels((("one", 26379), ("two", 26379)), "books")


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"URL": "http://us:hunter2@cache"}, "is to begin with redis://, rediss:// or unix://"),
        ({"URL": "redis://us:hunter2@cache?db=1"}, "has parameters"),
        ({"URL": "redis://us:hunter2@cache/books"}, "PAYMENTS_REDIS_DATABASE"),
        ({"URL": "redis://us:hunter2@cache", "USER": "other"}, "PAYMENTS_REDIS_USER are both set"),
        ({"SSL_CA_FILE": "/etc/hosts"}, "has no use without PAYMENTS_REDIS_TLS=true"),
        ({"USER": "us"}, "PAYMENTS_REDIS_PASSWORD is needed with PAYMENTS_REDIS_USER"),
        ({"SENTINELS": "one:26379"}, "PAYMENTS_REDIS_SENTINEL_MASTER is needed"),
        ({"SENTINELS": "one", "SENTINEL_MASTER": "books"}, "PAYMENTS_REDIS_SENTINELS: expected"),
        ({"SENTINEL_MASTER": "books"}, "has no use without PAYMENTS_REDIS_SENTINELS"),
    ],
)
def test_what_a_redis_cannot_be_told_is_refused_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], said: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"PAYMENTS_REDIS_{name}", value)
    (complaint,) = complaints(RedisSettings)
    assert said in complaint
    assert "hunter2" not in complaint


def test_a_broker_without_a_port_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """When a process begins, and not by whoever first needs it."""
    monkeypatch.setenv("PAYMENTS_KAFKA_BOOTSTRAP_SERVERS", "one:9092,two")
    (complaint,) = complaints(KafkaSettings)
    assert complaint.startswith("PAYMENTS_KAFKA_BOOTSTRAP_SERVERS: expected host:port")
