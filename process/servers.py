"""How the servers are reached: Postgres, Redis and Kafka, each with what it asks of us.

A section makes the address of its server and is the only one that knows the variables. What cannot
be meant is refused here, when a process begins: a certificate that is not there, or a password that
would go over the network for all to read.
"""

import ipaddress
import os
import re
import ssl
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from process.addresses import (
    DatabaseAddress,
    KafkaAddress,
    RedisAddress,
    Sasl,
    SaslClient,
    SaslPassword,
    SaslToken,
    Sentinels,
    SslMode,
    Tls,
    hosts_and_ports,
)
from process.proxy import proxy_for
from process.sections import Port, ReadableFile, Section, refuse_what_has_no_use
from process.urls import UnknownInUrl, with_parts_of_url


def _listed(text: str) -> str:
    try:
        hosts_and_ports(text or "none:1")
    except ValueError:
        raise ValueError("expected host:port, and commas between several") from None
    return text


HostsAndPorts = Annotated[str, AfterValidator(_listed)]


class DatabaseSettings(Section):
    """PostgreSQL. Few connections are best: batches are what makes it fast.

    The URL says what the parts say: a part that says something else is an error.
    """

    url: SecretStr = Field(default=SecretStr(""), validation_alias="PAYMENTS_DATABASE_URL")
    host: str = Field(default="localhost", validation_alias="PAYMENTS_DATABASE_HOST")
    port: Port = Field(default=5432, validation_alias="PAYMENTS_DATABASE_PORT")
    user: str = Field(default="payments", validation_alias="PAYMENTS_DATABASE_USER")
    password: SecretStr = Field(
        default=SecretStr("payments"), validation_alias="PAYMENTS_DATABASE_PASSWORD"
    )
    database: str = Field(default="payments", validation_alias="PAYMENTS_DATABASE_DATABASE")
    pool_size: int = Field(default=8, ge=1, validation_alias="PAYMENTS_DATABASE_POOL_SIZE")
    sslmode: SslMode = Field(default="prefer", validation_alias="PAYMENTS_DATABASE_SSLMODE")
    ssl_ca_file: ReadableFile | None = Field(
        default=None, validation_alias="PAYMENTS_DATABASE_SSL_CA_FILE"
    )
    ssl_certificate_file: ReadableFile | None = Field(
        default=None, validation_alias="PAYMENTS_DATABASE_SSL_CERTIFICATE_FILE"
    )
    ssl_key_file: ReadableFile | None = Field(
        default=None, validation_alias="PAYMENTS_DATABASE_SSL_KEY_FILE"
    )
    ssl_key_password: SecretStr = Field(
        default=SecretStr(""), validation_alias="PAYMENTS_DATABASE_SSL_KEY_PASSWORD"
    )
    # host:port of servers that stand by, separated by commas: after a failover it is one of them.
    standbys: HostsAndPorts = Field(default="", validation_alias="PAYMENTS_DATABASE_STANDBYS")
    # A PgBouncer before it, for the pools of the ingress and the stages.
    pooler_host: str = Field(default="", validation_alias="PAYMENTS_DATABASE_POOLER_HOST")
    pooler_port: Port = Field(default=6432, validation_alias="PAYMENTS_DATABASE_POOLER_PORT")

    @model_validator(mode="before")
    @classmethod
    def _parts_of_the_url(cls, given: dict[str, object]) -> dict[str, object]:
        return with_parts_of_url(cls, given, _parts_of_database_url)

    @model_validator(mode="after")
    def _is_one_way_to_connect(self) -> Self:
        if self.sslmode in {"disable", "prefer"}:
            why = f"with PAYMENTS_DATABASE_SSLMODE={self.sslmode}"
            refuse_what_has_no_use(self, "ssl_", why)
        if self.sslmode.startswith("verify") and self.ssl_ca_file is None:
            # The drivers do not agree where a machine keeps whom it believes.
            raise ValueError(
                f"PAYMENTS_DATABASE_SSL_CA_FILE is needed for {self.sslmode}: the authority's "
                "certificate, or the machine's own, such as /etc/ssl/certs/ca-certificates.crt"
            )
        if not self.pooler_host:
            refuse_what_has_no_use(self, "pooler_", "without PAYMENTS_DATABASE_POOLER_HOST")
        _refuse_unusable(self.address().tls, "PAYMENTS_DATABASE")
        return self

    def address(self) -> DatabaseAddress:
        """The server itself: for replication, migrations, and whoever has a session to itself."""
        return DatabaseAddress(
            host=self.host,
            port=self.port,
            user=self.user,
            password=self.password.get_secret_value(),
            database=self.database,
            sslmode=self.sslmode,
            tls=_tls(self),
            standbys=hosts_and_ports(self.standbys) if self.standbys else (),
        )

    def pooled_address(self) -> DatabaseAddress:
        """What a pool connects to: the pooler, if there is one, as the same user."""
        if not self.pooler_host:
            return self.address()
        # Which follows the primary by itself.
        return replace(
            self.address(),
            host=self.pooler_host,
            port=self.pooler_port,
            is_pooler=True,
            standbys=(),
        )


class RedisSettings(Section):
    """Redis or Valkey: locks, the replay cache, rate limits and the mirrored streams.

    The URL says what the parts say, as for Postgres. A host that is a path is a Unix socket.
    """

    url: SecretStr = Field(default=SecretStr(""), validation_alias="PAYMENTS_REDIS_URL")
    host: str = Field(default="localhost", validation_alias="PAYMENTS_REDIS_HOST")
    port: Port = Field(default=6379, validation_alias="PAYMENTS_REDIS_PORT")
    user: str = Field(default="", validation_alias="PAYMENTS_REDIS_USER")
    password: SecretStr = Field(default=SecretStr(""), validation_alias="PAYMENTS_REDIS_PASSWORD")
    database: int = Field(default=0, ge=0, validation_alias="PAYMENTS_REDIS_DATABASE")
    has_tls: bool = Field(default=False, validation_alias="PAYMENTS_REDIS_TLS")
    ssl_ca_file: ReadableFile | None = Field(
        default=None, validation_alias="PAYMENTS_REDIS_SSL_CA_FILE"
    )
    ssl_certificate_file: ReadableFile | None = Field(
        default=None, validation_alias="PAYMENTS_REDIS_SSL_CERTIFICATE_FILE"
    )
    ssl_key_file: ReadableFile | None = Field(
        default=None, validation_alias="PAYMENTS_REDIS_SSL_KEY_FILE"
    )
    ssl_key_password: SecretStr = Field(
        default=SecretStr(""), validation_alias="PAYMENTS_REDIS_SSL_KEY_PASSWORD"
    )
    # host:port of each, separated by commas; they say where the master is.
    sentinels: HostsAndPorts = Field(default="", validation_alias="PAYMENTS_REDIS_SENTINELS")
    sentinel_master: str = Field(default="", validation_alias="PAYMENTS_REDIS_SENTINEL_MASTER")
    sentinel_user: str = Field(default="", validation_alias="PAYMENTS_REDIS_SENTINEL_USER")
    sentinel_password: SecretStr = Field(
        default=SecretStr(""), validation_alias="PAYMENTS_REDIS_SENTINEL_PASSWORD"
    )

    # host:port of some of a cluster's servers, separated by commas: they know the others.
    cluster_nodes: HostsAndPorts = Field(
        default="", validation_alias="PAYMENTS_REDIS_CLUSTER_NODES"
    )

    @model_validator(mode="before")
    @classmethod
    def _parts_of_the_url(cls, given: dict[str, object]) -> dict[str, object]:
        return with_parts_of_url(cls, given, _parts_of_redis_url)

    @model_validator(mode="after")
    def _is_one_way_to_connect(self) -> Self:
        if not self.has_tls:
            refuse_what_has_no_use(self, "ssl_", "without PAYMENTS_REDIS_TLS=true")
        if not self.sentinels:
            refuse_what_has_no_use(self, "sentinel_", "without PAYMENTS_REDIS_SENTINELS")
        elif not self.sentinel_master:
            raise ValueError(
                "PAYMENTS_REDIS_SENTINEL_MASTER is needed with PAYMENTS_REDIS_SENTINELS"
            )
        if self.cluster_nodes and (self.sentinels or self.database):
            other = "PAYMENTS_REDIS_SENTINELS" if self.sentinels else "PAYMENTS_REDIS_DATABASE"
            raise ValueError(f"{other} has no use with PAYMENTS_REDIS_CLUSTER_NODES")
        if self.user and not self.password.get_secret_value():
            raise ValueError("PAYMENTS_REDIS_PASSWORD is needed with PAYMENTS_REDIS_USER")
        _refuse_unusable(self.address().tls, "PAYMENTS_REDIS")
        return self

    def address(self) -> RedisAddress:
        cluster = hosts_and_ports(self.cluster_nodes) if self.cluster_nodes else ()
        host, port = cluster[0] if cluster else (self.host, self.port)
        return RedisAddress(
            host=host,
            port=port,
            user=self.user,
            password=self.password.get_secret_value(),
            database=self.database,
            tls=_tls(self) if self.has_tls else None,
            sentinels=self._sentinels(),
            cluster=cluster,
        )

    def _sentinels(self) -> Sentinels | None:
        if not self.sentinels:
            return None
        return Sentinels(
            servers=hosts_and_ports(self.sentinels),
            master=self.sentinel_master,
            user=self.sentinel_user,
            password=self.sentinel_password.get_secret_value(),
        )


class KafkaSettings(Section):
    """`host:port` of one or more brokers, separated by commas, and what they ask of us."""

    bootstrap_servers: HostsAndPorts = Field(
        default="localhost:9092", validation_alias="PAYMENTS_KAFKA_BOOTSTRAP_SERVERS"
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", validation_alias="PAYMENTS_KAFKA_SECURITY_PROTOCOL"
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] = Field(
        default="SCRAM-SHA-512", validation_alias="PAYMENTS_KAFKA_SASL_MECHANISM"
    )
    sasl_user: str = Field(default="", validation_alias="PAYMENTS_KAFKA_SASL_USER")
    sasl_password: SecretStr = Field(
        default=SecretStr(""), validation_alias="PAYMENTS_KAFKA_SASL_PASSWORD"
    )
    sasl_token_file: ReadableFile | None = Field(
        default=None, validation_alias="PAYMENTS_KAFKA_SASL_TOKEN_FILE"
    )
    # Or who issues one to us, and as whom we ask.
    sasl_token_url: str = Field(default="", validation_alias="PAYMENTS_KAFKA_SASL_TOKEN_URL")
    sasl_token_ca_file: ReadableFile | None = Field(
        default=None, validation_alias="PAYMENTS_KAFKA_SASL_TOKEN_CA_FILE"
    )
    sasl_client_id: str = Field(default="", validation_alias="PAYMENTS_KAFKA_SASL_CLIENT_ID")
    sasl_client_secret: SecretStr = Field(
        default=SecretStr(""), validation_alias="PAYMENTS_KAFKA_SASL_CLIENT_SECRET"
    )
    sasl_scope: str = Field(default="", validation_alias="PAYMENTS_KAFKA_SASL_SCOPE")
    ssl_ca_file: ReadableFile | None = Field(
        default=None, validation_alias="PAYMENTS_KAFKA_SSL_CA_FILE"
    )
    ssl_certificate_file: ReadableFile | None = Field(
        default=None, validation_alias="PAYMENTS_KAFKA_SSL_CERTIFICATE_FILE"
    )
    ssl_key_file: ReadableFile | None = Field(
        default=None, validation_alias="PAYMENTS_KAFKA_SSL_KEY_FILE"
    )
    ssl_key_password: SecretStr = Field(
        default=SecretStr(""), validation_alias="PAYMENTS_KAFKA_SSL_KEY_PASSWORD"
    )

    @model_validator(mode="after")
    def _is_one_way_to_connect(self) -> Self:
        address = self.address()
        why = f"with PAYMENTS_KAFKA_SECURITY_PROTOCOL={self.security_protocol}"
        if address.tls is None:
            refuse_what_has_no_use(self, "ssl_", why)
        if address.sasl is None:
            refuse_what_has_no_use(self, "sasl_", why)
        match address.sasl:
            case SaslPassword(_, user, password) if not (user and password):
                raise ValueError(
                    "PAYMENTS_KAFKA_SASL_USER and PAYMENTS_KAFKA_SASL_PASSWORD are both needed "
                    f"for {self.sasl_mechanism}"
                )
            case SaslToken() if self.sasl_token_file is None:
                raise ValueError(
                    "PAYMENTS_KAFKA_SASL_TOKEN_FILE or PAYMENTS_KAFKA_SASL_TOKEN_URL is needed for "
                    "OAUTHBEARER"
                )
            case SaslToken():
                why = "without PAYMENTS_KAFKA_SASL_TOKEN_URL"
                refuse_what_has_no_use(self, "sasl_client_", why)
            case SaslClient() as client:
                self._refuse_unusable_client(client)
            case _:
                pass
        if self.security_protocol == "SASL_PLAINTEXT" and self.sasl_mechanism in _SAYS_THE_SECRET:
            _refuse_to_tell_the_network(address, self.sasl_mechanism)
        _refuse_unusable(address.tls, "PAYMENTS_KAFKA")
        return self

    def _refuse_unusable_client(self, client: SaslClient) -> None:
        if self.sasl_token_file is not None:
            raise ValueError(
                "PAYMENTS_KAFKA_SASL_TOKEN_FILE and PAYMENTS_KAFKA_SASL_TOKEN_URL are both set: "
                "which is meant?"
            )
        if not (client.id and client.secret):
            raise ValueError(
                "PAYMENTS_KAFKA_SASL_CLIENT_ID and PAYMENTS_KAFKA_SASL_CLIENT_SECRET are both "
                "needed with PAYMENTS_KAFKA_SASL_TOKEN_URL"
            )
        issuer = urlsplit(client.url)
        is_private = issuer.scheme == "http" and _is_loopback(issuer.hostname or "")
        if issuer.scheme != "https" and not is_private:
            raise ValueError("PAYMENTS_KAFKA_SASL_TOKEN_URL is to begin with https://")
        try:
            ssl.create_default_context(cafile=client.authority)
        except OSError as error:
            raise ValueError(
                f"what PAYMENTS_KAFKA_SASL_TOKEN_CA_FILE names cannot be used ({error})"
            ) from None

    def address(self) -> KafkaAddress:
        tls = _tls(self) if self.security_protocol.endswith("SSL") else None
        return KafkaAddress(self.bootstrap_servers, tls, self._sasl())

    def _sasl(self) -> Sasl | None:
        if not self.security_protocol.startswith("SASL"):
            return None
        if self.sasl_mechanism == "OAUTHBEARER" and self.sasl_token_url:
            return SaslClient(
                self.sasl_token_url,
                self.sasl_client_id,
                self.sasl_client_secret.get_secret_value(),
                self.sasl_scope,
                self.sasl_token_ca_file,
                proxy_for(self.sasl_token_url, os.environ),
            )
        if self.sasl_mechanism == "OAUTHBEARER":
            return SaslToken(self.sasl_token_file or Path())
        password = self.sasl_password.get_secret_value()
        return SaslPassword(self.sasl_mechanism, self.sasl_user, password)


def _tls(section: DatabaseSettings | RedisSettings | KafkaSettings) -> Tls:
    return Tls(
        section.ssl_ca_file,
        section.ssl_certificate_file,
        section.ssl_key_file,
        section.ssl_key_password.get_secret_value(),
    )


# What is proved by showing it; SCRAM proves that it is known.
_SAYS_THE_SECRET: Final = frozenset({"PLAIN", "OAUTHBEARER"})


def _parts_of_database_url(text: str) -> dict[str, str]:
    """By the parts' variables; servers after the first stand by. Raises ValueError."""
    # Newer releases of Python take several servers for none, if an address in brackets is behind.
    found = _AUTHORITY.fullmatch(text)
    assert found is not None, "it fits every text"
    beginning, user, servers, rest = found.groups()
    first, *others = servers.split(",")
    url = urlsplit(f"{beginning}{user}{first}{rest}")
    if url.scheme not in {"postgresql", "postgres"}:
        raise UnknownInUrl("is to begin with postgresql://")
    parts = {
        "HOST": unquote(url.hostname or ""),
        "PORT": str(url.port or ""),
        "USER": unquote(url.username or ""),
        "PASSWORD": unquote(url.password or ""),
        "DATABASE": unquote(url.path.removeprefix("/")),
        "STANDBYS": ",".join(each if _has_port(each) else f"{each}:5432" for each in others),
    }
    for name, value in parse_qsl(url.query):
        if (name, value) in _WHAT_IS_MEANT_ANYWAY:
            continue
        if name not in _DATABASE_URL_PARAMETERS:
            raise UnknownInUrl(f"has a parameter {name}, which nothing here understands")
        parts[_DATABASE_URL_PARAMETERS[name]] = value
    return {f"PAYMENTS_DATABASE_{part}": value for part, value in parts.items() if value}


def _has_port(server: str) -> bool:
    return server.rpartition("]")[2].count(":") == 1


# Up to the servers: the scheme, and the user with the password; behind them the path and more.
_AUTHORITY: Final = re.compile(r"([^/?#]*(?://)?)((?:[^/?#]*@)?)([^/?#]*)(.*)", re.DOTALL)
# One that takes writes, where there are several.
_WHAT_IS_MEANT_ANYWAY: Final = {
    ("target_session_attrs", "read-write"),
    ("target_session_attrs", "primary"),
}
_DATABASE_URL_PARAMETERS: Final = {
    "host": "HOST",  # a folder, where a server listens on a Unix socket
    "sslmode": "SSLMODE",
    "sslrootcert": "SSL_CA_FILE",
    "sslcert": "SSL_CERTIFICATE_FILE",
    "sslkey": "SSL_KEY_FILE",
    "sslpassword": "SSL_KEY_PASSWORD",
}


def _parts_of_redis_url(text: str) -> dict[str, str]:
    """By the parts' variables. Raises ValueError."""
    url = urlsplit(text)
    if url.scheme not in {"redis", "rediss", "unix"}:
        raise UnknownInUrl("is to begin with redis://, rediss:// or unix://")
    if url.query:
        raise UnknownInUrl("has parameters, which nothing here understands")
    is_socket = url.scheme == "unix"
    parts = {
        "HOST": url.path if is_socket else unquote(url.hostname or ""),
        "PORT": str(url.port or ""),
        "USER": unquote(url.username or ""),
        "PASSWORD": unquote(url.password or ""),
        "DATABASE": "" if is_socket else url.path.removeprefix("/"),
        "TLS": "True" if url.scheme == "rediss" else "",
    }
    return {f"PAYMENTS_REDIS_{part}": value for part, value in parts.items() if value}


def _refuse_to_tell_the_network(address: KafkaAddress, mechanism: str) -> None:
    if not all(_is_loopback(host) for host, _ in address.servers):
        raise ValueError(
            f"PAYMENTS_KAFKA_SECURITY_PROTOCOL=SASL_PLAINTEXT with {mechanism} shows the secret to "
            "the network: use SASL_SSL, or a mechanism of SCRAM"
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _refuse_unusable(tls: Tls | None, variables: str) -> None:
    """Files that are there and yet no certificate, no key of it or locked."""
    if tls is None:
        return
    if tls.key is not None and tls.certificate is None:
        raise ValueError(f"{variables}_SSL_KEY_FILE has no use without its certificate")
    try:
        tls.context()
    except OSError as error:
        raise ValueError(f"what {variables}_SSL_* name cannot be used ({error})") from None
