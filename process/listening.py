"""What listens for clients: a socket, and TLS on it whose certificate may change at any time.

Its files are looked at every second, since whoever renews a certificate tells nobody. Once they
have changed and are good, each new handshake is with them; connections that there are keep what
they have. While they are no good the ones before stay, which a metric and a line of
the log say: a certificate and its key change one after the other.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
import ssl
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self

import structlog

from process.closing import end

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path

    from prometheus_client import Gauge

log = structlog.get_logger()

# Connections that wait to be accepted: those of a burst while one batch is decided.
_BACKLOG: Final = 4096
# Taken in before anything else is done.
_ACCEPTED_MAX: Final = 64
_ACCEPT_AGAIN_S: Final = 0.5
# No file, or no memory, is left for one more: they go on waiting.
NOTHING_LEFT: Final = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
# For those who have been accepted, at the end.
_BEGIN_S: Final = 1.0
_LOOK_EACH_S: Final = 1.0


class AddressError(Exception):
    """The address cannot be listened on; the message is a sentence that says why."""


@dataclass(frozen=True, slots=True)
class ServerTls:
    """The certificate we show, and whose clients we let in; with `clients`, only theirs.

    One who shows none is let in too where it is not `required`.
    """

    certificate: Path
    key: Path | None = None
    key_password: str = field(default="", repr=False)
    clients: Path | None = None
    required: bool = True

    def context(self) -> ssl.SSLContext:
        """Reads the files as they are now. Raises OSError."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        # A password in any case: without one OpenSSL would ask whoever sits at the terminal.
        context.load_cert_chain(self.certificate, self.key, password=self.key_password)
        if self.clients is not None:
            context.load_verify_locations(self.clients)
            context.verify_mode = ssl.CERT_REQUIRED if self.required else ssl.CERT_OPTIONAL
        return context

    def state(self) -> Mapping[Path, tuple[int, int, int] | None]:
        """What tells the files of now from others; they may be links, and be gone."""
        files = (self.certificate, self.key, self.clients)
        return {file: _state_of(file) for file in files if file is not None}


def _state_of(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrance:
    """A socket that listens; `certificate_refused` is set while a changed one is no good.

    No more than `handshakes_max` shake hands at once: one more takes the place of the one that has
    been at it for longest.
    """

    listener: socket.socket
    tls: ServerTls | None
    handshake_s: float
    handshakes_max: int
    certificate_refused: Gauge

    @property
    def address(self) -> str:
        """As a URL."""
        host, port = self.listener.getsockname()[:2]
        scheme = "http" if self.tls is None else "https"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def bound(host: str, port: int, write_timeout_s: float) -> socket.socket:
    """A socket at the address; several processes may share it. Raises AddressError."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise AddressError(f"{host} is no address: {error}.") from error
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Several processes may share the port, and the kernel spreads connections over them.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        # Accepted connections inherit it: a client that reads nothing for so long is cut off.
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            milliseconds = int(write_timeout_s * 1000)
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise AddressError(f"cannot listen on {host}:{port}: {error.strerror}.") from error
    return listener


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the host; a name must not lead anywhere else."""
    try:
        found = socket.getaddrinfo(host, None)
    except OSError:
        return False
    return all(ipaddress.ip_address(address[0]).is_loopback for *_, address in found)


@asynccontextmanager
async def listening(
    entrance: Entrance, connections: Callable[[], asyncio.Protocol]
) -> AsyncIterator[None]:
    """Accept clients while the context is open. Raises OSError for files that are no good."""
    tls, looking = entrance.tls, list[asyncio.Task[None]]()
    before = tls.state() if tls else {}
    shown = _Shown.of(tls.context()) if tls else None
    door = _Acceptor(entrance, connections, shown)
    door.open()
    if tls and shown:
        renewing = _renew(shown, tls, entrance.certificate_refused, before)
        looking.append(asyncio.create_task(renewing, name="certificate"))
    try:
        yield
    finally:
        await door.close()
        await end(looking)


class _Acceptor:
    """Takes in whoever waits at a socket, dozens of them in one pass of the event loop.

    uvloop's own servers take one in a pass: who comes with a crowd, to a process that is busy,
    would wait for seconds though there is nobody before it.
    """

    def __init__(
        self,
        entrance: Entrance,
        connections: Callable[[], asyncio.Protocol],
        shown: ssl.SSLContext | None,
    ) -> None:
        self._listener = entrance.listener
        self._connections = connections
        self._shown = shown
        self._handshake_s = entrance.handshake_s if shown else None
        self._handshakes_max = entrance.handshakes_max
        self._loop = asyncio.get_running_loop()
        # The oldest first.
        self._beginning = dict[asyncio.Task[None], socket.socket]()
        self._again: asyncio.TimerHandle | None = None

    def open(self) -> None:
        self._listener.settimeout(0)
        self._listener.listen(_BACKLOG)
        self._resume()

    async def close(self) -> None:
        """Those taken in stay; who is still shaking hands after a second is not one of them."""
        if self._again is not None:
            self._again.cancel()
        self._loop.remove_reader(self._listener)
        self._listener.close()
        if self._beginning:
            await asyncio.wait(self._beginning, timeout=_BEGIN_S)
        await end(list(self._beginning))

    def _resume(self) -> None:
        self._again = None
        self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        for _ in range(_ACCEPTED_MAX):
            try:
                client, _address = self._listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno not in NOTHING_LEFT:
                    continue  # it is gone, or its network is
                log.warning("cannot accept connections", error=repr(error))
                self._loop.remove_reader(self._listener)
                self._again = self._loop.call_later(_ACCEPT_AGAIN_S, self._resume)
                return
            client.settimeout(0)
            self._make_room()
            task = self._loop.create_task(self._begin(client), name="connection")
            self._beginning[task] = client
            task.add_done_callback(lambda done: self._beginning.pop(done, None))

    def _make_room(self) -> None:
        """Without TLS there is nothing to wait for, and nobody who could make others wait."""
        if self._shown is not None and len(self._beginning) >= self._handshakes_max:
            oldest = self._beginning.pop(next(iter(self._beginning)))
            with suppress(OSError):
                # Its handshake ends as if the client had gone.
                oldest.shutdown(socket.SHUT_RDWR)

    async def _begin(self, client: socket.socket) -> None:
        # Who is gone, or speaks no TLS, is closed by then.
        with suppress(OSError):
            await self._loop.connect_accepted_socket(
                self._connections,
                client,
                ssl=self._shown,
                ssl_handshake_timeout=self._handshake_s,
            )


class _Shown(ssl.SSLContext):
    """What a server is given once: each handshake is of the context that is `now` then."""

    now: ssl.SSLContext

    @classmethod
    def of(cls, first: ssl.SSLContext) -> Self:
        shown = cls(ssl.PROTOCOL_TLS_SERVER)
        shown.now = first
        return shown

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:  # noqa: ANN401 - the library's
        return self.now.wrap_bio(*args, **kwargs)


async def _renew(
    shown: _Shown,
    tls: ServerTls,
    refused: Gauge,
    seen: Mapping[Path, tuple[int, int, int] | None],
) -> None:
    """For ever: with each good change of the files."""
    while True:
        await asyncio.sleep(_LOOK_EACH_S)
        now = await asyncio.to_thread(tls.state)
        if now == seen:
            continue
        seen = now
        try:
            shown.now = await asyncio.to_thread(tls.context)
        except OSError as error:
            refused.set(1)
            log.warning(
                "a changed certificate is no good: the one before is shown",
                certificate=str(tls.certificate),
                error=str(error),
            )
        else:
            refused.set(0)
            log.info("certificate renewed", certificate=str(tls.certificate))
