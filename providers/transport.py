"""One HTTP exchange with a provider, and whether a request that failed was ever on the wire.

Nothing here raises for what a network or a server can do. Until a connection is held no
byte of a request can have left, so whatever goes wrong before is `NotSent`; whatever goes
wrong after is `Lost`, for the provider may have acted. Redirects are not followed: a POST
that a proxy moves elsewhere is no answer of the provider.
"""

from __future__ import annotations

import math
import os
import socket
import ssl
import string
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

import aiohttp
from pydantic import BaseModel, ValidationError
from yarl import URL

from payments.outcome import Retriable, Unknown
from payments.record import Struct
from process.proxy import proxy_for
from providers.gateway import Trouble
from telemetry.redaction import redact_text

if TYPE_CHECKING:
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

    from process.sections import ProviderSection

# The largest documented answer, a page of 100 objects, is below 300 KB; a provider gone mad
# must not fill our memory.
_BODY_BYTES_MAX: Final = 2_000_000
_CHUNK_BYTES: Final = 65_536
# A provider may wish what it likes; past this a retry is due all the same.
_RETRY_AFTER_S_MAX: Final = 300.0
# Below the idle timeouts of both vendors' front ends, so that a request is rarely written to a
# connection that the other side has just given up.
_KEEP_ALIVE_S: Final = 10.0
_VENDOR_TEXT_MAX: Final = 300
# Where nobody says how many calls are made at once.
CONNECTIONS: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a provider is and how long it may take.

    `connect_timeout_s` bounds waiting for a free connection and making one; `timeout_s`
    the whole exchange. `connections` is how many requests can be under way at once. All of them
    go through `proxy`, where there is one.
    """

    base_url: str
    timeout_s: float = 10.0
    connect_timeout_s: float = 3.0
    connections: int = CONNECTIONS
    proxy: str | None = None

    @classmethod
    def of(cls, config: ProviderSection, connections: int) -> Self:
        """Where a provider's settings say that it is, by the proxy that leads there."""
        return cls(
            base_url=config.base_url,
            timeout_s=config.timeout_seconds,
            connections=connections,
            proxy=proxy_for(config.base_url, os.environ),
        )


class Call(Struct, frozen=True, kw_only=True):
    """One HTTP request; `path` is encoded and begins with a slash."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes | None = None


class Answer(Struct, frozen=True):
    """The provider, or something in between, answered in full."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def retry_after_s(self) -> float | None:
        """The seconds of `Retry-After`; its date form, which neither vendor uses, is ignored."""
        text = self.headers.get("Retry-After", "")
        # float() would also take "nan", "inf" and "1_0".
        if not text or not set(text) <= set(string.digits + "."):
            return None
        try:
            seconds = float(text)
        except ValueError:
            return None
        return min(seconds, _RETRY_AFTER_S_MAX) if math.isfinite(seconds) else None


class NotSent(Struct, frozen=True):
    """There was no connection to send on: certainly no effect."""

    reason: str


class Lost(Struct, frozen=True):
    """The request may have been read, and no whole answer came: perhaps an effect."""

    reason: str


Exchange = Answer | NotSent | Lost


@dataclass(slots=True)
class _Progress:
    """How far an exchange has come."""

    connected: bool = False


# Of the exchange that this task is at. aiohttp's own way to tell, its tracing, costs five times
# as much, since it tells of everything.
_progress: ContextVar[_Progress] = ContextVar("exchange")


class _Connector(aiohttp.TCPConnector):
    """Notes for the exchange under way that it holds a connection, new or kept alive."""

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's signature
    ) -> Connection:
        connection = await super().connect(req, traces, timeout)
        _progress.get().connected = True
        return connection


class Transport:
    """A pool of kept-alive connections to one provider. Made inside a running event loop."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._base_url = endpoint.base_url.rstrip("/")
        self._session = aiohttp.ClientSession(
            connector=_Connector(limit=endpoint.connections, keepalive_timeout=_KEEP_ALIVE_S),
            timeout=aiohttp.ClientTimeout(
                total=endpoint.timeout_s, connect=endpoint.connect_timeout_s
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            # A small answer gains nothing by compression, and one that is not compressed is not
            # larger than it says.
            headers={"User-Agent": "payments-pipeline", "Accept-Encoding": "identity"},
            auto_decompress=False,
            proxy=endpoint.proxy,
        )

    async def exchange(self, call: Call) -> Exchange:
        progress = _Progress()
        _progress.set(progress)
        try:
            async with self._session.request(
                call.method,
                URL(self._base_url + call.path, encoded=True),
                headers=call.headers,
                data=call.body,
                allow_redirects=False,
            ) as response:
                body = await _read(response)
                if body is None:
                    return Lost("answer too long")
                return Answer(response.status, response.headers, body)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            reason = _reason(error)
            return Lost(reason) if progress.connected else NotSent(reason)

    async def aclose(self) -> None:
        await self._session.close()


def of_broken(exchange: NotSent | Lost) -> Retriable | Unknown:
    """The outcome of a call that got no answer."""
    match exchange:
        case NotSent(reason):
            return Retriable(Trouble.NOT_SENT, f"no connection: {reason}", is_asked=False)
        case Lost(reason):
            return Unknown(Trouble.NO_ANSWER, f"no whole answer: {reason}")


def of_status(answer: Answer) -> Retriable | Unknown | None:
    """What the status alone decides for either vendor; None when the body must be read.

    401, 403, 404: refused at the door, or nothing there, hence no effect; and an operator's
    repair, or the vendor's own replication, can make the next try work. 407: a proxy of ours
    refused, and asked nobody. 409: another request under the same key is at work and may yet
    take effect, which rules out `Retriable`. 408 and 5xx: neither vendor documents one that
    proves that nothing happened.
    """
    match answer.status:
        case 401:
            why = "the provider refused our credentials"
            return Retriable(Trouble.UNAUTHORIZED, why, is_asked=False)
        case 403:
            why = f"the provider does not allow us this call{_explained(answer)}"
            return Retriable(Trouble.FORBIDDEN, why, is_asked=False)
        case 407:
            why = "no connection: the proxy refused our credentials"
            return Retriable(Trouble.NOT_SENT, why, is_asked=False)
        case 404:
            return Retriable(Trouble.MISSING, "the provider finds no such object")
        case 409:
            return Unknown(Trouble.IN_PROGRESS, "the same request is already being processed")
        case 429:
            wish = answer.retry_after_s
            return Retriable(Trouble.RATE_LIMITED, "too many requests", wish, is_asked=False)
        case 408 | 424:
            return Unknown(Trouble.SERVER_ERROR, f"HTTP {answer.status}")
        case status if status >= 500:  # noqa: PLR2004 - the class of server errors, RFC 9110
            return Unknown(Trouble.SERVER_ERROR, f"HTTP {status}")
        case _:
            return None


def unreadable(answer: Answer) -> Unknown:
    """For a body that is not what the vendor documents: a proxy's page, garbage, a cut text."""
    return Unknown(Trouble.UNREADABLE, f"HTTP {answer.status} with an unexpected body")


def vendor_text(text: str | None) -> str:
    """A vendor's words, fit for a column and a log line: short, printable, without secrets."""
    printable = "".join(c if c.isprintable() else " " for c in text or "")
    return redact_text(printable)[:_VENDOR_TEXT_MAX]


def _explained(answer: Answer) -> str:
    """Which permission is lacking, in the words of Stripe, PayPal or OAuth 2 (RFC 6749)."""
    try:
        body = _Refusal.model_validate_json(answer.body)
    except ValidationError:
        return ""
    nested = body.error.message if isinstance(body.error, _Said) else None
    said = vendor_text(nested or body.message or body.error_description)
    return f": {said}" if said else ""


class _Said(BaseModel):
    message: str | None = None


class _Refusal(BaseModel):
    error: _Said | str | None = None
    message: str | None = None
    error_description: str | None = None


def _reason(error: Exception) -> str:
    """What the system says of it, or its type: the library's own words may quote what was sent."""
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return f"the proxy: {_reason(error.os_error)}"
    if isinstance(error, aiohttp.ClientConnectorError):
        error = error.os_error
    match error:
        case aiohttp.ClientHttpProxyError(status=status):
            return f"the proxy answered {status}"
        case ssl.SSLCertVerificationError():
            return error.verify_message
        case ssl.SSLError():
            return f"TLS {error.reason}"
        case socket.gaierror(strerror=str(said)):
            return said
        case OSError(errno=int(number)) if number > 0:
            return os.strerror(number)
        case _:
            return type(error).__name__


async def _read(response: aiohttp.ClientResponse) -> bytes | None:
    """The whole body, or None when it is longer than any answer of the provider."""
    if (length := response.content_length) is not None:
        return await response.read() if length <= _BODY_BYTES_MAX else None
    body = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
        body += chunk
        if len(body) > _BODY_BYTES_MAX:
            return None
    return bytes(body)
