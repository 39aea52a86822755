"""Where the servers are and who we are to them: one record a server, made by the settings.

Nothing here connects, and nothing of ours is imported, so that whoever connects may. What a
server asks for next (TLS, SASL, a user) is a field here, read in the one module that connects to
it: `store.pool`, `store.redis`, `topics.kafka`, `topics.relay.connection`.
"""

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, TypeAlias

SslMode: TypeAlias = Literal["disable", "prefer", "require", "verify-ca", "verify-full"]
# A file that libpq is told of lest it looks for one in somebody's home.
_NO_FILE: Final = "/dev/null/none"


class TlsRefused(OSError):
    """No TLS is spoken there, or our certificate is not taken."""


# What no waiting mends: their certificate is none for us, or ours none for them.
TLS_REFUSED: Final = (TlsRefused, ssl.SSLCertVerificationError)


def refuse_alert(error: ssl.SSLError) -> None:
    """Raise TlsRefused if the other side says what it has against us, or speaks no TLS."""
    reason = error.reason or ""
    if "ALERT" in reason or reason in {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"}:
        raise TlsRefused(str(error)) from error


@dataclass(frozen=True, slots=True)
class Tls:
    """By whose word a server is who it says it is, and by what we are who we say we are.

    Without an authority the machine's own are believed.
    """

    authority: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    key_password: str = field(default="", repr=False)

    def context(self) -> ssl.SSLContext:
        """Checks certificate and name. Reads the files as they are now. Raises OSError."""
        context = ssl.create_default_context(cafile=self.authority)
        if self.certificate is not None:
            # A password in any case: without one OpenSSL would ask whoever sits at the terminal.
            context.load_cert_chain(self.certificate, self.key, password=self.key_password)
        return context


@dataclass(frozen=True, slots=True)
class DatabaseAddress:
    """A database and who connects to it; `is_pooler` is one that changes session by transaction.

    `standbys`, each with its port, are where it may be instead after a failover: of all of them
    the one that takes writes is connected to.
    """

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    database: str
    sslmode: SslMode = "prefer"
    tls: Tls = Tls()
    is_pooler: bool = False
    standbys: tuple[tuple[str, int], ...] = ()

    @property
    def servers(self) -> tuple[tuple[str, int], ...]:
        """Host and port of each."""
        return ((self.host, self.port), *self.standbys)

    def conninfo(self, application_name: str) -> str:
        """As libpq reads it, and all that it would look for elsewhere: in variables and homes.

        Source: https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING.
        """
        parameters = {
            "host": ",".join(host for host, _ in self.servers),
            "hostaddr": "",
            "port": ",".join(str(port) for _, port in self.servers),
            "user": self.user,
            "password": self.password,
            "passfile": _NO_FILE,
            "dbname": self.database,
            "application_name": application_name,
            "target_session_attrs": "read-write" if self.standbys else "any",
            "gssencmode": "disable",
            "sslmode": self.sslmode,
            "sslnegotiation": "postgres",
            "sslrootcert": str(self.tls.authority or _NO_FILE),
            "sslcert": str(self.tls.certificate or _NO_FILE),
            "sslkey": str(self.tls.key or self.tls.certificate or _NO_FILE),
            "sslpassword": self.tls.key_password,
            "sslcrl": _NO_FILE,
        }
        return " ".join(f"{name}={_quoted(value)}" for name, value in parameters.items())


@dataclass(frozen=True, slots=True)
class SaslPassword:
    """A user of Kafka's and a password; `mechanism` is PLAIN or one of SCRAM's."""

    mechanism: str
    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SaslToken:
    """OAUTHBEARER: whoever issues tokens keeps the file new, and each connection reads it."""

    file: Path


@dataclass(frozen=True, slots=True)
class SaslClient:
    """OAUTHBEARER: whom a token is issued to at `url`, and by whose word that is the issuer.

    `proxy` leads there, its credentials included; None: it is asked directly.
    """

    url: str
    id: str
    secret: str = field(repr=False)
    scope: str = ""
    authority: Path | None = None
    proxy: str | None = field(default=None, repr=False)


Sasl: TypeAlias = SaslPassword | SaslToken | SaslClient


@dataclass(frozen=True, slots=True)
class KafkaAddress:
    """A cluster: `host:port` of one or more of its brokers, separated by commas."""

    bootstrap_servers: str
    tls: Tls | None = None
    sasl: Sasl | None = None

    @property
    def servers(self) -> tuple[tuple[str, int], ...]:
        """Host and port of each. Raises ValueError."""
        return hosts_and_ports(self.bootstrap_servers)


@dataclass(frozen=True, slots=True)
class Sentinels:
    """Who knows which server is the master of this name, and as whom they are asked."""

    servers: tuple[tuple[str, int], ...]
    master: str
    user: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """A Redis or Valkey server, and who connects to it; a host that is a path is a Unix socket.

    With sentinels they say where it is. Of a cluster these are some of its servers, which know all.
    """

    host: str
    port: int
    user: str = ""
    password: str = field(default="", repr=False)
    database: int = 0
    tls: Tls | None = None
    sentinels: Sentinels | None = None
    cluster: tuple[tuple[str, int], ...] = ()

    @property
    def url(self) -> str:
        """As people read it: without the user and the password."""
        if self.host.startswith("/"):
            return f"unix://{self.host}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        scheme = "redis" if self.tls is None else "rediss"
        return f"{scheme}://{host}:{self.port}" + (f"/{self.database}" if self.database else "")


def hosts_and_ports(text: str) -> tuple[tuple[str, int], ...]:
    """Of `host:port`, separated by commas. Raises ValueError."""
    named = [each.strip().rpartition(":") for each in text.split(",")]
    if not all(host for host, _, _ in named):
        raise ValueError(f"not host:port, separated by commas: {text}")
    return tuple((host.strip("[]"), int(port)) for host, _, port in named)


def _quoted(value: str) -> str:
    escaped = value.replace("\\", r"\\").replace("'", r"\'")
    return f"'{escaped}'"
