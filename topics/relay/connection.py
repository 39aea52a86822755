"""The one place where the relay connects to Postgres, in sessions that notice a dead peer."""

from typing import Final

import psycopg
from psycopg.conninfo import make_conninfo

from topics.relay.failures import SourceFailure

_CONNECT_SECONDS_MAX: Final = 10
# What was sent and is not acknowledged by the other kernel for so long: its machine is gone.
_UNHEARD_MS_MAX: Final = 15_000
# What the decoder and the envelope rely on, whatever the server's defaults are.
_SESSION: Final = "-c TimeZone=UTC -c DateStyle=ISO -c client_encoding=UTF8"


async def connect(
    conninfo: str, *, replication: str = "false"
) -> psycopg.AsyncConnection[tuple[object, ...]]:
    """A session, or with `replication="database"` one that reads slots. Raises `SourceFailure`."""
    parameters = make_conninfo(
        conninfo,
        replication=replication,
        options=_SESSION,
        connect_timeout=_CONNECT_SECONDS_MAX,
        # Half-open connections are noticed by the kernel, on both sides, within a minute.
        keepalives_idle=20,
        keepalives_interval=10,
        keepalives_count=3,
        tcp_user_timeout=_UNHEARD_MS_MAX,
    )
    try:
        connection = await psycopg.AsyncConnection.connect(
            parameters, autocommit=True, cursor_factory=psycopg.AsyncRawCursor
        )
    except psycopg.OperationalError as error:
        raise SourceFailure(f"cannot connect to Postgres: {error}") from error
    # Statements are written as every other of ours is, with $1.
    connection.server_cursor_factory = psycopg.AsyncRawServerCursor
    return connection
