"""How the servers are reached: each way in has its variables, and no way is half chosen."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from process.addresses import DatabaseAddress, KafkaAddress, SaslPassword, SaslToken, Tls
from process.sections import complaints
from process.servers import DatabaseSettings, KafkaSettings
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


_USER = {"SASL_USER": "us", "SASL_PASSWORD": "hunter2"}


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"SECURITY_PROTOCOL": "TLS"}, "PAYMENTS_KAFKA_SECURITY_PROTOCOL: Input should be"),
        ({"SECURITY_PROTOCOL": "SASL_SSL"}, "PAYMENTS_KAFKA_SASL_PASSWORD are both needed"),
        (
            {"SECURITY_PROTOCOL": "SASL_SSL", "SASL_MECHANISM": "OAUTHBEARER"},
            "PAYMENTS_KAFKA_SASL_TOKEN_FILE is needed for OAUTHBEARER",
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


@pytest.mark.parametrize(
    ("variables", "said"),
    [
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
