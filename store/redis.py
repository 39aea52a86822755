"""The one place that connects to Redis: every client speaks RESP2.

Who relies on Redis for nothing asks with a short timeout and without retries, and goes on
without it; who blocks on a stream bounds that itself.
"""

from typing import Final, TypedDict

from redis.asyncio import Connection, ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError

from process.addresses import RedisAddress

AWAY: Final = (RedisError, OSError)
REFUSED: Final = (AuthenticationError,)

# Long for a server on the same network, short for a client who waits for a payment.
TIMEOUT_SECONDS: Final = 0.25
_CONNECT_SECONDS_MAX: Final = 5.0


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
    return Redis.from_url(address.url, decode_responses=decode_responses, **options)


def blocking_client(url: str) -> Redis:
    """A client for commands that wait on the server, which whoever asks bounds.

    With a timeout of its own the client can lose a cancellation before Python 3.12.
    """
    return Redis.from_url(url, protocol=2, socket_timeout=None)


def connection(address: RedisAddress, *, client_name: str) -> Connection:
    """A connection, not connected yet, that never reconnects; whoever asks bounds each answer."""
    pool = ConnectionPool.from_url(address.url, client_name=client_name, **_options(None))
    made: Connection = pool.make_connection()  # type: ignore[no-untyped-call]  # left bare
    return made


async def refuse_wrong_credentials(opened: Redis) -> None:
    """Raise AuthenticationError if Redis answers and refuses us; one that is away is no matter."""
    try:
        await opened.ping()
    except REFUSED:
        raise
    except AWAY:
        return


def _options(timeout_s: float | None) -> _Options:
    return _Options(
        protocol=2,
        retry=Retry(NoBackoff(), 0),
        socket_timeout=timeout_s,
        socket_connect_timeout=min(timeout_s or _CONNECT_SECONDS_MAX, _CONNECT_SECONDS_MAX),
    )
