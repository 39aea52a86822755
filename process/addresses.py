"""Where the servers are and who we are to them: one record a server, made by the settings.

Nothing here connects, and nothing of ours is imported, so that whoever connects may. What a
server asks for next (TLS, SASL, a user) is a field here, read in the one module that connects to
it: `store.pool`, `store.redis`, `topics.kafka`, `topics.relay.connection`.
"""

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Tls:
    """By whose word a server is who it says it is, and by what we are who we say we are.

    Without an authority the machine's own are believed. Its name is checked, always.
    """

    authority: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    key_password: str = field(default="", repr=False)

    def context(self) -> ssl.SSLContext:
        """Reads the files, so that what is connected next is told of new ones. Raises OSError."""
        context = ssl.create_default_context(cafile=self.authority)
        if self.certificate is not None:
            # A password in any case: without one OpenSSL would ask whoever sits at the terminal.
            context.load_cert_chain(self.certificate, self.key, password=self.key_password)
        return context


@dataclass(frozen=True, slots=True)
class DatabaseAddress:
    """A database and who connects to it."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    database: str

    def conninfo(self, application_name: str) -> str:
        """As libpq reads it.

        Source: https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING.
        """
        parameters = {
            "host": self.host,
            "port": str(self.port),
            "user": self.user,
            "password": self.password,
            "dbname": self.database,
            "application_name": application_name,
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


Sasl: TypeAlias = SaslPassword | SaslToken


@dataclass(frozen=True, slots=True)
class KafkaAddress:
    """A cluster: `host:port` of one or more of its brokers, separated by commas."""

    bootstrap_servers: str
    tls: Tls | None = None
    sasl: Sasl | None = None

    @property
    def servers(self) -> tuple[tuple[str, int], ...]:
        """Host and port of each. Raises ValueError."""
        named = (each.strip().rpartition(":") for each in self.bootstrap_servers.split(","))
        return tuple((host.strip("[]"), int(port)) for host, _, port in named)


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """A Redis or Valkey server."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """As redis-py and people read it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"redis://{host}:{self.port}"


def _quoted(value: str) -> str:
    escaped = value.replace("\\", r"\\").replace("'", r"\'")
    return f"'{escaped}'"
