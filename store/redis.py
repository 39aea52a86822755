"""The one place that connects to Redis: every client speaks RESP2.

Who relies on Redis for nothing asks with a short timeout and without retries, and goes on
without it; who blocks on a stream bounds that itself. With sentinels each connection is made to
whom they call the master then. Of a cluster each key is asked for where it is: no command and no
script of ours needs keys of two of its servers.
"""

import ssl
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final, TypedDict, cast

from redis.asyncio import (
    Connection,
    ConnectionPool,
    Redis,
    UnixDomainSocketConnection,
)
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    NoPermissionError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
)
from redis.exceptions import ConnectionError as RedisConnectionError

from process.addresses import TLS_REFUSED, RedisAddress, TlsRefused, refuse_alert
from process.probing import answered, speaks_tls
from store.redis_cluster import ClusterClient

AWAY: Final = (RedisError, RedisClusterException, OSError)


class ClusterRefused(RedisError):
    """A cluster where we were told of one server, or the reverse."""


REFUSED: Final = (*TLS_REFUSED, AuthenticationError, NoPermissionError, ClusterRefused)

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
    if address.cluster:
        # It has the methods that we use, which their types do not say.
        return cast("Redis", ClusterClient(address, **options, decode_responses=decode_responses))
    return Redis.from_pool(_pool(address, options, decode_responses=decode_responses))


def blocking_client(address: str | RedisAddress) -> Redis:
    """A client for commands that wait on the server, which whoever asks bounds.

    With a timeout of its own the client can lose a cancellation before Python 3.12.
    """
    if isinstance(address, str):
        return Redis.from_url(address, protocol=2, socket_timeout=None)
    if address.cluster:
        return cast("Redis", ClusterClient(address, **_options(None)))
    return Redis.from_pool(_pool(address, _options(None)))


def connection(address: RedisAddress, *, client_name: str) -> Connection:
    """A connection, not connected yet, that never reconnects; whoever asks bounds each answer."""
    pool = _pool(address, _options(None), client_name=client_name)
    made: Connection = pool.make_connection()  # type: ignore[no-untyped-call]  # left bare
    return made


def is_cluster(opened: Redis | ClusterClient) -> bool:
    """Whether keys are at several servers, so that one command may have to do with one alone."""
    return isinstance(opened, ClusterClient)


async def servers_of(address: RedisAddress, keys: Iterable[str]) -> list[RedisAddress]:
    """Which of a cluster's servers has each key now. Raises one of `AWAY`."""
    async with ClusterClient(address, **_options(_CONNECT_SECONDS_MAX)) as cluster:
        await cluster.initialize()
        places = [cluster.server_of(key) for key in keys]
    return [replace(address, host=host, port=port, cluster=()) for host, port in places]


async def refuse_wrong_credentials(opened: Redis | ClusterClient) -> None:
    """Raise what is REFUSED if Redis answers and refuses us; one that is away is no matter.

    A cluster is refused where we were told of none, and the reverse.
    """
    if isinstance(opened, ClusterClient):
        await _refuse_cluster(opened)
        return
    try:
        await opened.ping()
        if await _is_of_cluster(opened):
            raise ClusterRefused("the server is one of a cluster, and we are not told so")
    except REFUSED:
        raise
    except AWAY as error:
        _refuse_tls(error)
        await _refuse_what_is_spoken(opened.connection_pool.connection_kwargs["address"])


async def _is_of_cluster(opened: Redis) -> bool:
    try:
        return bool((await opened.info("cluster")).get("cluster_enabled"))
    except NoPermissionError:  # it is not needed for anything else
        return False


async def _refuse_cluster(opened: ClusterClient) -> None:
    """What redis-py says of the first server that it asks, it says of none."""
    try:
        await opened.initialize()
    except RedisClusterException as error:
        cause = error.__cause__
        if isinstance(cause, REFUSED):
            raise cause from error
        if isinstance(cause, RedisClusterException):
            raise ClusterRefused("the server is none of a cluster") from error
        _refuse_tls(cause)
    except AWAY as error:
        _refuse_tls(error)


async def _refuse_what_is_spoken(address: RedisAddress) -> None:
    """Raise TlsRefused if it is there, and speaks TLS where we do not, or the reverse."""
    if address.host.startswith("/") or address.sentinels is not None:
        return
    if address.tls is None:
        if await speaks_tls(address.host, address.port):
            raise TlsRefused("the server speaks TLS, and we are told to do without")
    elif await answered(address.host, address.port, b"PING\r\n", 1) in {b"+", b"-"}:
        raise TlsRefused("the server does not speak TLS")


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
