"""Where the servers are and who we are to them: one record a server, made by the settings.

Nothing here connects, and nothing of ours is imported, so that whoever connects may. What a
server asks for next (TLS, SASL, a user) is a field here, read in the one module that connects to
it: `store.pool`, `store.redis`, `topics.kafka`, `topics.relay.connection`.
"""

from dataclasses import dataclass, field


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
class KafkaAddress:
    """A cluster: `host:port` of one or more of its brokers, separated by commas."""

    bootstrap_servers: str


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
