"""Faults of our processes and of what they are given: dead, missing, unread, badly certified."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from local.program import free_port
from tests.support.alerts.fault import Fault
from tests.support.certificates import Authority
from tests.support.front import Way
from tests.support.matrix.clients import Clients

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from tests.support.alerts.place import Place
    from tests.support.fixtures.processes import OurProcess

# It takes what is opened, and is full as soon as anything is written.
_FULL_DISK: Final = Path("/dev/full")


@asynccontextmanager
async def _killed(place: Place) -> AsyncIterator[None]:
    await place.process("webhooks").kill()
    try:
        yield
    finally:
        await place.back("webhooks")


@asynccontextmanager
async def _scaled_to_none(place: Place) -> AsyncIterator[None]:
    """No container of the process that measures is left."""
    targets = place.watch.targets
    async with place.without("lag"):
        gone = targets.pop("lag")
        try:
            yield
        finally:
            targets["lag"] = gone


@asynccontextmanager
async def _one_more(place: Place, process: OurProcess) -> AsyncIterator[OurProcess]:
    """A process beside those there are, scraped in the place of the last of its kind."""
    name = process.name
    before = place.watch.targets.get(name)
    try:
        await process.start()
        place.watch.targets[name] = process
        await place.watch.look()
        yield process
    finally:
        process.end()
        if before is None:
            place.watch.targets.pop(name, None)
        else:
            place.watch.targets[name] = before


def _another_ingress(place: Place, port: int, **settings: str) -> OurProcess:
    return place.platform.process("api", "api", PAYMENTS_SERVER_PORT=str(port), **settings)


@asynccontextmanager
async def _full_disk(place: Place) -> AsyncIterator[None]:
    port = free_port()
    ingress = _another_ingress(place, port)
    ingress.log = _FULL_DISK
    clients = Clients(f"http://127.0.0.1:{port}")
    async with _one_more(place, ingress):
        await clients.open_account()
        async with clients.at_work():
            yield


@asynccontextmanager
async def _bad_certificate(place: Place) -> AsyncIterator[None]:
    """The key of another was put beside it."""
    issued = Authority(place.platform.directory / "papers").issue("127.0.0.1")
    other = Authority(place.platform.directory / "others").issue("127.0.0.1")
    ingress = _another_ingress(
        place,
        free_port(),
        PAYMENTS_SERVER_SSL_CERTIFICATE_FILE=str(issued.certificate),
        PAYMENTS_SERVER_SSL_KEY_FILE=str(issued.key),
    )
    async with _one_more(place, ingress):
        assert not await ingress.metric("payments_certificate_refused")
        issued.key.write_bytes(other.key.read_bytes())
        yield


@asynccontextmanager
async def _without_redis(place: Place) -> AsyncIterator[None]:
    place.site.redis.go(Way.GONE)
    try:
        async with place.clients.at_work():
            yield
    finally:
        place.site.redis.go(Way.OPEN)


@asynccontextmanager
async def _without_postgres(place: Place) -> AsyncIterator[None]:
    place.site.postgres.go(Way.GONE)
    try:
        async with place.clients.at_work():
            yield
    finally:
        place.site.postgres.go(Way.OPEN)
        await _until_all_are_ready(place)


async def _until_all_are_ready(place: Place) -> None:
    for process in place.site.processes.values():
        await process.until_ready()


@asynccontextmanager
async def _row_is_held(place: Place) -> AsyncIterator[None]:
    """Somebody works on the clients' account by hand."""
    async with place.session() as somebody:
        await somebody.execute("BEGIN; SELECT * FROM accounts FOR UPDATE")
        async with place.clients.at_work():
            yield
            await somebody.execute("ROLLBACK")


@asynccontextmanager
async def _flood(place: Place) -> AsyncIterator[None]:
    """More than there is room for, while Postgres answers nothing."""
    place.site.postgres.go(Way.DARK)
    try:
        async with place.clients.flooding(_FLOOD):
            yield
            place.site.postgres.go(Way.OPEN)
    finally:
        place.site.postgres.go(Way.OPEN)
        await _until_all_are_ready(place)


# Half of the queue's 4,096 places, which one tenant may have, and so many that more than one a
# second are refused in five minutes.
_FLOOD: Final = 2_048 + 700

FAULTS: Final[Mapping[str, Fault]] = {
    "a process is killed": Fault(_killed, ("ProcessDown",)),
    "a process has no container": Fault(_scaled_to_none, ("ProcessMissing", "LagUnknown")),
    "a log's disk is full": Fault(_full_disk, ("LogLinesLost",)),
    "a certificate is no good": Fault(_bad_certificate, ("CertificateRefused",)),
    "redis is away": Fault(_without_redis, ("RedisDegraded", "LagUnknown")),
    "postgres is away": Fault(_without_postgres, ("HttpErrors", "LagUnknown"), is_slow=True),
    "a row is held": Fault(_row_is_held, ("RowsHeld", "HttpSlow")),
    "a flood": Fault(_flood, ("RequestsRejected",), is_slow=True),
}
