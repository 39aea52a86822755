"""One try at one endpoint: a POST on a connection that leads nowhere it must not.

Redirects are answers like others, no proxy and no cookie is used, of an answer a kilobyte is read.
Whatever an endpoint does, it does it to one try: no name that does not resolve holds up another.
"""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from ipaddress import ip_address
from time import perf_counter
from typing import TYPE_CHECKING, Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from process.listening import NOTHING_LEFT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from topics.contracts.webhook_urls import Reach

# What Standard Webhooks allows an endpoint to think for.
TIMEOUT_S: Final = 15.0
_CONNECT_S: Final = 5.0
_ANSWER_BYTES_MAX: Final = 1024
# A name is asked for again after so long: who moves an endpoint does not wait for us.
_NAMES_KNOWN_S: Final = 10
_USER_AGENT: Final = "payments-webhooks/1"
# This process is out of files, or the host of memory for a socket.
_NOTHING_LEFT_S: Final = 5.0
_SAYS_WHEN: Final = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})


class AddressRefused(OSError):
    """The address is none that webhooks may be sent to."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What came of a try: a status with the answer's first kilobyte, or why there is none.

    `retry_after_s` is what the endpoint asks for, in seconds.
    """

    duration_ms: int
    status: int | None = None
    body: bytes = b""
    error: str | None = None
    retry_after_s: float | None = None

    @property
    def is_taken(self) -> bool:
        """Whether the endpoint has it."""
        return self.status is not None and HTTPStatus(200) <= self.status < HTTPStatus(300)


@dataclass(frozen=True, slots=True)
class Unsent:
    """Why nothing was sent, which is no fault of the endpoint's; in `again_s` seconds it may go."""

    error: str
    again_s: float


class Sender:
    """Sends over TLS through one session, without TLS, where that is allowed, through another."""

    def __init__(
        self,
        encrypted: aiohttp.ClientSession,
        plain: aiohttp.ClientSession,
        clock: Callable[[], datetime],
    ) -> None:
        self._encrypted = encrypted
        self._plain = plain
        self._clock = clock

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answered | Unsent:
        """Send it once; whatever an endpoint may make of that is returned."""
        session = self._encrypted if url.startswith("https://") else self._plain
        began_at = perf_counter()
        try:
            async with session.post(
                url, data=body, headers=headers, allow_redirects=False
            ) as response:
                said = await _first_bytes(response)
                return Answered(
                    _milliseconds(began_at),
                    response.status,
                    said,
                    None
                    if response.ok and response.status < HTTPStatus.MULTIPLE_CHOICES
                    else f"answered {response.status}",
                    self._retry_after(response),
                )
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            if _errno_of(error) in NOTHING_LEFT:
                return Unsent("we have no connection left for it", _NOTHING_LEFT_S)
            return Answered(_milliseconds(began_at), error=_why(error))

    def _retry_after(self, response: aiohttp.ClientResponse) -> float | None:
        """Seconds that it asks for, as a number or a time (RFC 9110, 10.2.3)."""
        text = response.headers.get("Retry-After", "").strip()
        if response.status not in _SAYS_WHEN or not text:
            return None
        if text.isascii() and text.isdecimal():
            return float(text[:9])
        try:
            when = parsedate_to_datetime(text)
        except (ValueError, OverflowError):  # no time, or one that no calendar has
            return None
        return max(0.0, (when.replace(tzinfo=when.tzinfo or UTC) - self._clock()).total_seconds())


@asynccontextmanager
async def sender(
    reach: Reach, connections_max: int, clock: Callable[[], datetime]
) -> AsyncIterator[Sender]:
    """A sender while the context is open; at most so many tries are made at once."""
    threads = ThreadPoolExecutor(connections_max, "webhook-names")
    try:
        async with (
            _session(threads, _sockets(reach, is_encrypted=True)) as encrypted,
            _session(threads, _sockets(reach, is_encrypted=False)) as plain,
        ):
            yield Sender(encrypted, plain, clock)
    finally:
        # As a context of its own it would wait, in the event loop, for names that do not resolve.
        threads.shutdown(wait=False, cancel_futures=True)


def _session(
    threads: ThreadPoolExecutor, sockets: Callable[[aiohttp.AddrInfoType], socket.socket]
) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(
        limit=0, resolver=_Resolver(threads), ttl_dns_cache=_NAMES_KNOWN_S, socket_factory=sockets
    )
    return aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=TIMEOUT_S, sock_connect=_CONNECT_S),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        headers={"User-Agent": _USER_AGENT, "Content-Type": "application/json"},
    )


def _sockets(
    reach: Reach, *, is_encrypted: bool
) -> Callable[[aiohttp.AddrInfoType], socket.socket]:
    """Makes the socket of a connection, at the last moment before it is connected."""

    def made(info: aiohttp.AddrInfoType) -> socket.socket:
        family, kind, protocol, _, address = info
        if not reach.takes(ip_address(str(address[0])), is_encrypted=is_encrypted):
            raise AddressRefused("the address is none of the public internet")
        return socket.socket(family, kind, protocol)

    return made


class _Resolver(AbstractResolver):
    """Asks for names on threads of its own: as many as there may be tries, so that none waits."""

    def __init__(self, threads: ThreadPoolExecutor) -> None:
        self._threads = threads

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of a name. Raises OSError."""
        found = await asyncio.get_running_loop().run_in_executor(
            self._threads, socket.getaddrinfo, host, port, family, socket.SOCK_STREAM
        )
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=port,
                family=each_family,
                proto=protocol,
                flags=socket.AI_NUMERICHOST,
            )
            for each_family, _, protocol, _, address in found
        ]

    async def close(self) -> None:
        """The threads are their owner's to end."""


async def _first_bytes(response: aiohttp.ClientResponse) -> bytes:
    said = bytearray()
    while len(said) < _ANSWER_BYTES_MAX:
        part = await response.content.read(_ANSWER_BYTES_MAX - len(said))
        if not part:
            break
        said += part
    return bytes(said)


def _milliseconds(began_at: float) -> int:
    return round((perf_counter() - began_at) * 1000)


def _errno_of(error: BaseException) -> int | None:
    found = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    return found.errno if isinstance(found, OSError) else None


def _why(error: BaseException) -> str:
    """What a tenant is told: enough to mend an endpoint, nothing of our network."""
    match error:
        case TimeoutError():
            return f"no answer within {TIMEOUT_S:g} s"
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientSSLError():
            return "its certificate, or its TLS, is not acceptable"
        case aiohttp.ClientConnectorDNSError() | aiohttp.InvalidURL():
            return "its name does not resolve"
        case aiohttp.ClientConnectorError() if isinstance(error.os_error, AddressRefused):
            return str(error.os_error)
        case AddressRefused():
            return str(error)
        case aiohttp.ClientConnectorError() | ConnectionError():
            return "it cannot be connected to"
        case _:
            return "its answer is not HTTP, or ended early"
