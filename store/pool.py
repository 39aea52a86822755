"""The one place that connects to Postgres with asyncpg: pools, and single connections.

Every connection says who it is and runs in UTC. Those of a pool give up rather than wait without
end for a statement, a lock or a client that forgot its transaction, and a COMMIT of theirs is on
disk, whatever the server does for others.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import wraps
from typing import Any, Final, Literal, TypeAlias, TypedDict, TypeVar, cast

import asyncpg
from asyncpg.connect_utils import SessionAttribute
from asyncpg.pool import PoolConnectionProxy

from process.addresses import TLS_REFUSED, DatabaseAddress, TlsRefused, refuse_alert
from process.probing import answered_in_tls
from store.pooled import PooledConnection

AWAY: Final = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)


class PoolerRefused(OSError):
    """A pooler is where a session of our own is needed."""


REFUSED: Final = (
    *TLS_REFUSED,
    PoolerRefused,
    asyncpg.InvalidPasswordError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
)

# Longer than any statement of ours on a loaded machine, shorter than a client's patience.
_STATEMENT_TIMEOUT: Final = "15s"
# For a server that is there and does not answer: it cannot time out its own statements.
_COMMAND_TIMEOUT_S: Final = 20.0
# A lock is held for the length of one short transaction; five seconds is a deadlock or a dead peer.
LOCK_TIMEOUT: Final = "5s"
# A batch of many waits for others' batches, some tens of milliseconds each, and for nothing longer:
# who needs what is held for longer is set aside.
BATCH_LOCK_TIMEOUT: Final = "250ms"
# Nothing of ours waits for the network inside a transaction.
_IDLE_IN_TRANSACTION_TIMEOUT: Final = "10s"
# A fold over all there ever was takes as long as it takes.
_LONG_STATEMENT_TIMEOUT: Final = "30min"
_CONNECT_TIMEOUT_S: Final = 60.0
# A pool's connection that a network swallowed while it was made must not be waited for for longer
# than the network was away.
_RECONNECT_TIMEOUT_S: Final = 5.0
# A server that is there answers within milliseconds.
_GOODBYE_S: Final = 1.0
# Postgres plans a statement once for all its executions, for the tables as they are then. In a new
# database they are so short that reading them whole is cheap, and whole they are read until the
# first ANALYZE: a minute later, when a payment cost Postgres half as much again.
_BY_INDEX: Final = {"enable_seqscan": "off"}

# A COMMIT that is answered before it is on disk is none to us; what the server waits for beyond
# that is its operator's matter. For the session, so that no reload changes it.
_COMMIT_DURABLY: Final = """
SELECT current_setting('statement_timeout')
FROM pg_settings
WHERE
    name = 'synchronous_commit'
    AND set_config('synchronous_commit', coalesce(nullif(setting, 'off'), 'on'), FALSE) <> ''
"""
# What a pooler does to the limits of a session: it refuses them, or drops them without a word.
_NOT_OF_SESSION: Final = "unsupported startup parameter"
_IS_POOLER: Final = "a pooler stands before the server, which limits no session: name both apart"
# Which is nobody's limit.
_OWN_SESSION: Final = {"idle_in_transaction_session_timeout": "0"}
# With standbys one that takes writes.
_SESSION_OF: Final = {False: SessionAttribute.any, True: SessionAttribute.read_write}
# asyncpg's words, which have no class of their own.
_NO_TLS: Final = "rejected SSL upgrade"

# Source: https://www.postgresql.org/docs/current/protocol-message-formats.html
_SSL_REQUEST: Final = (8).to_bytes(4) + (80877103).to_bytes(4)
_PROTOCOL: Final = (196608).to_bytes(4)

_Method = TypeVar("_Method", bound=Callable[..., Awaitable[object]])


_Single: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


class NoPrimary(ConnectionError):
    """None of the servers takes writes: one has just ceased to, and no other has begun."""


class _Session(TypedDict):
    user: str
    password: str
    database: str
    ssl: ssl.SSLContext | Literal["disable", "prefer"]
    direct_tls: bool
    target_session_attrs: SessionAttribute
    server_settings: dict[str, str]


async def connect(
    address: DatabaseAddress, *, application_name: str, size: int, lock_timeout: str = LOCK_TIMEOUT
) -> "asyncpg.Pool[asyncpg.Record]":
    """Open a pool of `size` connections, all of them before the first request needs one."""
    limits = {
        "statement_timeout": _STATEMENT_TIMEOUT,
        "lock_timeout": lock_timeout,
        "idle_in_transaction_session_timeout": _IDLE_IN_TRANSACTION_TIMEOUT,
    }
    limits |= _BY_INDEX
    async with _told_why(address):
        return await asyncpg.create_pool(
            min_size=size,
            max_size=size,
            command_timeout=_COMMAND_TIMEOUT_S,
            **(_pooled(address, limits) if address.is_pooler else _sessions(address)),
            **_session(address, application_name, {} if address.is_pooler else limits),
        )


async def _commit_durably(connection: _Single) -> None:
    """Pin what the server has for its sessions, unless it does not wait for its own disk."""
    limited_to = await connection.fetchval(_COMMIT_DURABLY)
    if limited_to != _STATEMENT_TIMEOUT:
        raise PoolerRefused(_IS_POOLER)


def _sessions(address: DatabaseAddress) -> dict[str, Any]:
    """How connections are made where a session is ours."""

    async def opened(*_: object, **options: Any) -> _Single:  # noqa: ANN401 - asyncpg's
        return await _opened(address, _RECONNECT_TIMEOUT_S, **options)

    return {"connection_class": _Connection, "init": _commit_durably, "connect": opened}


def _pooled(address: DatabaseAddress, limits: Mapping[str, str]) -> dict[str, Any]:
    """How connections are made through a pooler."""

    async def limited(*_: object, **options: Any) -> PooledConnection:  # noqa: ANN401 - asyncpg's
        opened = await _opened(address, _RECONNECT_TIMEOUT_S, **options)
        assert isinstance(opened, PooledConnection), "it is what was asked for"
        await opened.limit(limits)
        return opened

    return {"connection_class": _PooledConnection, "connect": limited}


async def close(pool: "asyncpg.Pool[asyncpg.Record]") -> None:
    """Say goodbye to the server, and hang up on one that does not answer."""
    with suppress(TimeoutError, *AWAY):
        # Cut short, it ends every connection by itself.
        async with asyncio.timeout(_GOODBYE_S):
            await pool.close()


async def connect_single(
    address: DatabaseAddress, *, application_name: str, timeout_s: float = _CONNECT_TIMEOUT_S
) -> _Single:
    """Open a connection without the pool's limits: an index may take its time."""
    async with _told_why(address):
        return await _opened(
            address, timeout_s, **_session(address, application_name, _OWN_SESSION)
        )


@contextmanager
def hanging_up(connection: PoolConnectionProxy) -> Iterator[None]:
    """End the session of whoever gives up waiting for it.

    The driver would first tell the server, wait for its answer, and keep the connection from
    everybody else for as long; a network that swallows everything gives none.
    """
    try:
        yield
    except asyncio.CancelledError:
        connection.terminate()
        raise


@asynccontextmanager
async def long_reading(
    address: DatabaseAddress, *, application_name: str
) -> AsyncIterator[_Single]:
    """A connection for statements over all there ever was, which holds no lock up."""
    limits = {
        "statement_timeout": _LONG_STATEMENT_TIMEOUT,
        "lock_timeout": LOCK_TIMEOUT,
        "idle_in_transaction_session_timeout": "0",
    }
    async with _told_why(address):
        connection = await _opened(
            address, _CONNECT_TIMEOUT_S, **_session(address, application_name, limits)
        )
    try:
        yield connection
    finally:
        await connection.close()


async def _opened(address: DatabaseAddress, timeout_s: float, **options: Any) -> _Single:  # noqa: ANN401 - asyncpg's
    """A session with the server that takes writes; each has its share of the time.

    Raises what waiting does not mend, or why one of them could not be asked.
    """
    servers = address.servers
    failure: BaseException = NoPrimary(f"none of {len(servers)} servers takes writes")
    for host, port in servers:
        try:
            return await asyncpg.connect(
                host=host, port=port, timeout=timeout_s / len(servers), **options
            )
        except asyncpg.TargetServerAttributeNotMatched:
            continue
        except AWAY as error:
            if isinstance(error, REFUSED):
                raise
            failure = error
    raise failure


def _session(address: DatabaseAddress, application_name: str, limits: dict[str, str]) -> _Session:
    return _Session(
        user=address.user,
        password=address.password,
        database=address.database,
        ssl=_ssl(address),
        # What asyncpg would look for in the environment, as libpq does.
        direct_tls=False,
        target_session_attrs=_SESSION_OF[bool(address.standbys)],
        server_settings={"application_name": application_name, "timezone": "UTC", **limits},
    )


def _ssl(address: DatabaseAddress) -> ssl.SSLContext | Literal["disable", "prefer"]:
    """As asyncpg takes it, with libpq's meaning of each mode. Raises OSError."""
    if address.sslmode == "disable" or address.sslmode == "prefer":  # noqa: PLR1714 - it narrows
        return address.sslmode
    context = address.tls.context()
    context.check_hostname = address.sslmode == "verify-full"
    if address.sslmode == "require" and address.tls.authority is None:
        context.verify_mode = ssl.CERT_NONE
    return context


@asynccontextmanager
async def _told_why(address: DatabaseAddress) -> AsyncIterator[None]:
    """Raise TlsRefused, or PoolerRefused, for what is neither away nor an error of Postgres."""
    try:
        yield
    except asyncpg.ProtocolViolationError as error:
        if _NOT_OF_SESSION in str(error):
            raise PoolerRefused(_IS_POOLER) from error
        raise
    except ssl.SSLError as error:
        refuse_alert(error)
        raise
    except (ConnectionError, asyncpg.ConnectionDoesNotExistError) as error:
        if _NO_TLS in str(error):
            raise TlsRefused("the server does not speak TLS") from error
        await _refuse_plain(address)
        raise


async def _refuse_plain(address: DatabaseAddress) -> None:
    """Raise TlsRefused if whoever hung up on us in the clear answers in TLS."""
    if address.sslmode != "disable" or address.host.startswith("/"):
        return
    # Not a password: what comes back says only that somebody is there.
    said = b"user\0" + address.user.encode() + b"\0\0"
    greeting = (len(said) + 8).to_bytes(4) + _PROTOCOL + said
    if await answered_in_tls(address.host, address.port, _SSL_REQUEST, b"S", greeting):
        raise TlsRefused("the server wants TLS, and PostgreSQL's sslmode is disable")


def _or_gone(method: _Method) -> _Method:
    """Say of a connection on which the server's farewell has just arrived that it is gone.

    asyncpg refuses the next query, which it has not sent, with an error that is neither one of
    Postgres nor one of the interface: between the message and the end of the connection only.

    Nor is one kept that may not write, once what it was part of is over: it stays with a server
    that was demoted, or as the server was when it was made, while others may write again.
    """

    @wraps(method)
    async def call(
        connection: "_Connection | _PooledConnection", *args: object, **kwargs: object
    ) -> object:
        try:
            return await method(connection, *args, **kwargs)
        except asyncpg.InternalClientError as error:
            raise asyncpg.ConnectionDoesNotExistError(str(error)) from error
        except asyncpg.ReadOnlySQLTransactionError:
            connection.may_write = False
            raise
        finally:
            if not (connection.may_write or connection.is_in_transaction()):
                connection.terminate()

    return cast("_Method", call)


class _Connection(asyncpg.Connection):
    """A pooled connection that is not reset by a round trip on every release.

    Nothing of ours changes a session: no SET without LOCAL, no session advisory lock, no LISTEN,
    no temporary table, no open cursor. So there is nothing to reset, and asyncpg itself still
    rolls back a transaction left open and closes a connection it cannot trust.
    """

    may_write = True

    def get_reset_query(self) -> str:
        return ""

    execute = _or_gone(asyncpg.Connection.execute)
    executemany = _or_gone(asyncpg.Connection.executemany)
    fetch = _or_gone(asyncpg.Connection.fetch)
    fetchrow = _or_gone(asyncpg.Connection.fetchrow)
    fetchval = _or_gone(asyncpg.Connection.fetchval)


class _PooledConnection(PooledConnection):
    """The same, where a pooler has the sessions."""

    may_write = True

    execute = _or_gone(PooledConnection.execute)
    executemany = _or_gone(PooledConnection.executemany)
    fetch = _or_gone(PooledConnection.fetch)
    fetchrow = _or_gone(PooledConnection.fetchrow)
    fetchval = _or_gone(PooledConnection.fetchval)
