"""The one place that connects to Redis: every client speaks RESP2.

Who relies on Redis for nothing asks with a short timeout and without retries, and goes on
without it; who blocks on a stream bounds that itself. With sentinels each connection is made to
whom they call the master then.
"""

import ssl
from collections.abc import Mapping
from typing import Any, Final, TypedDict

from redis.asyncio import Connection, ConnectionPool, Redis, UnixDomainSocketConnection
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    NoPermissionError,
    ReadOnlyError,
    RedisError,
)
from redis.exceptions import ConnectionError as RedisConnectionError

from process.addresses import TLS_REFUSED, RedisAddress, refuse_alert

AWAY: Final = (RedisError, OSError)
REFUSED: Final = (*TLS_REFUSED, AuthenticationError, NoPermissionError)

# Long for a server on the same network, short for a client who waits for a payment.
TIMEOUT_SECONDS: Final = 0.25
_CONNECT_SECONDS_MAX: Final = 5.0
# One that is away is passed over for the next.
_SENTINEL_SECONDS_MAX: Final = 1.0


class _Options(TypedDict):
    protocol: int
    retry: Retry
    socket_timeout: float | None
    socket_connect_timeout: float


def client(
    address: RedisAddress, *, timeout_s: float = TIMEOUT_SECONDS, decode_responses: bool = False
) -> Redis:
    """A client that fails rather than wait for longer than that for an answer."""
    options = _options(timeout_s)
    return Redis.from_pool(_pool(address, options, decode_responses=decode_responses))


def blocking_client(address: str | RedisAddress) -> Redis:
    """A client for commands that wait on the server, which whoever asks bounds.

    With a timeout of its own the client can lose a cancellation before Python 3.12.
    """
    if isinstance(address, str):
        return Redis.from_url(address, protocol=2, socket_timeout=None)
    return Redis.from_pool(_pool(address, _options(None)))


def connection(address: RedisAddress, *, client_name: str) -> Connection:
    """A connection, not connected yet, that never reconnects; whoever asks bounds each answer."""
    pool = _pool(address, _options(None), client_name=client_name)
    made: Connection = pool.make_connection()  # type: ignore[no-untyped-call]  # left bare
    return made


async def refuse_wrong_credentials(opened: Redis) -> None:
    """Raise what is REFUSED if Redis answers and refuses us; one that is away is no matter."""
    try:
        await opened.ping()
    except REFUSED:
        raise
    except AWAY as error:
        _refuse_tls(error)


def _refuse_tls(error: BaseException | None) -> None:
    """Raise what TLS had against it, which redis-py only puts into words."""
    while error is not None:
        match error:
            case ssl.SSLCertVerificationError():
                raise error
            case ssl.SSLError():
                refuse_alert(error)
            case _:
                pass
        error = error.__cause__ or error.__context__


class _Connection(Connection):
    """To the server of an address.

    redis-py's own with TLS believes the machine's authorities beside the one it is told of.
    """

    def __init__(self, *, address: RedisAddress, **options: Any) -> None:  # noqa: ANN401 - redis-py's
        super().__init__(host=address.host, port=address.port, **_who(address), **options)
        self._address = address

    def _connection_arguments(self) -> Mapping[str, object]:
        tls = self._address.tls
        ours: dict[str, object] = {} if tls is None else {"ssl": tls.context()}
        return {**super()._connection_arguments(), **ours}


class _MasterConnection(_Connection):
    """To whom the sentinels call the master when it is made; not to be used once it is none."""

    async def _connect(self) -> None:
        self.host, self.port = await _master(self._address)
        await super()._connect()  # type: ignore[no-untyped-call]  # left bare

    async def read_response(self, *arguments: Any, **options: Any) -> object:  # noqa: ANN401 - redis-py's
        try:
            return await super().read_response(*arguments, **options)
        except ReadOnlyError as error:
            await self.disconnect(nowait=True)
            raise RedisConnectionError(str(error)) from error


async def _master(address: RedisAddress) -> tuple[str, int]:
    """Where the first sentinel that answers says that it is. Raises redis-py's ConnectionError."""
    known, said = address.sentinels, []
    assert known is not None, "who has none asks none"
    for host, port in known.servers:
        at = RedisAddress(host, port, known.user, known.password, tls=address.tls)
        try:
            async with client(at, timeout_s=_SENTINEL_SECONDS_MAX, decode_responses=True) as asked:
                found = await asked.sentinel_get_master_addr_by_name(known.master)
        except REFUSED:
            raise
        except AWAY as error:
            said.append(f"{host}:{port}: {error}")
        else:
            if isinstance(found, tuple):
                return str(found[0]), found[1]
            said.append(f"{host}:{port} knows no master {known.master}")
    raise RedisConnectionError(f"no sentinel says where the master is ({'; '.join(said)})")


class _SocketConnection(UnixDomainSocketConnection):
    """To the socket of an address."""

    def __init__(self, *, address: RedisAddress, **options: Any) -> None:  # noqa: ANN401 - redis-py's
        super().__init__(path=address.host, **_who(address), **options)


def _pool(address: RedisAddress, options: _Options, **others: Any) -> ConnectionPool:  # noqa: ANN401 - redis-py's
    """Of connections that are all made alike."""
    kind: type[AbstractConnection] = _Connection
    if address.sentinels is not None:  # redis-py's own clients of theirs are closed by nobody
        kind = _MasterConnection
    elif address.host.startswith("/"):
        kind = _SocketConnection
    return ConnectionPool(connection_class=kind, address=address, **options, **others)


def _who(address: RedisAddress) -> dict[str, Any]:
    return {
        "username": address.user or None,
        "password": address.password or None,
        "db": address.database,
    }


def _options(timeout_s: float | None) -> _Options:
    return _Options(
        protocol=2,
        retry=Retry(NoBackoff(), 0),
        socket_timeout=timeout_s,
        socket_connect_timeout=min(timeout_s or _CONNECT_SECONDS_MAX, _CONNECT_SECONDS_MAX),
    )
