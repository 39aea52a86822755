"""Faults of stages, of the schedule and of providers."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from aiokafka import AIOKafkaProducer

from local.program import free_port
from tests.support.agents.stream import Charges
from tests.support.alerts.fault import Fault
from tests.support.front import Way
from topics.names import CHARGES, REFUNDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from tests.support.alerts.place import Place

# Of two stages: each pauses when it has parked more than fifty, and parks the rest when it is
# started again, without a pause.
_POISON: Final = 90
_LETTERS: Final = "SELECT count(*) FROM dead_letters WHERE state = 'parked'"


@asynccontextmanager
async def _poisoned(place: Place) -> AsyncIterator[None]:
    """More than the stages bear: they park, and pause."""
    async with AIOKafkaProducer(bootstrap_servers=place.platform.kafka) as producer:
        for topic in (CHARGES, REFUNDS):
            for _ in range(_POISON):
                await producer.send(topic.name, b"poison", uuid4().bytes)
        await producer.flush()
    try:
        yield
    finally:
        async with place.without("charge", "refund"):
            pass
        await place.until_read()
        await place.admin.execute("DELETE FROM dead_letters")


@asynccontextmanager
async def _letter_is_old(place: Place) -> AsyncIterator[None]:
    async with AIOKafkaProducer(bootstrap_servers=place.platform.kafka) as producer:
        await producer.send_and_wait(CHARGES.name, b"poison", uuid4().bytes)
    await place.counted(_LETTERS, 1)
    await place.admin.execute(
        "UPDATE dead_letters SET first_failed_at = first_failed_at - interval '61 minutes'"
        " WHERE state = 'parked'"
    )
    try:
        yield
    finally:
        await place.admin.execute("DELETE FROM dead_letters")


@asynccontextmanager
async def _twins(place: Place) -> AsyncIterator[None]:
    """A second worker of the first one's name."""
    twin = place.platform.charge("one")
    twin.launch()
    try:
        yield
    finally:
        twin.end()
        place.process("charge").end()
        await place.back("charge")


@asynccontextmanager
async def _rewound(place: Place) -> AsyncIterator[None]:
    """Somebody resets the group while its worker is away, and looks on."""
    await place.paid(2)
    await place.until_ended()
    async with place.without("charge"), Charges(place.platform.kafka).rewinding("one"):
        yield


@asynccontextmanager
async def _nobody_charges(place: Place) -> AsyncIterator[None]:
    """A payment is due, for minutes, and nobody takes it up.

    The group keeps the worker's place for the time of a session.
    """
    async with place.without("schedule", "charge"):
        await place.paid()
        await place.admin.execute(
            "UPDATE payments SET due_at = now() - interval '2 minutes' WHERE due_at IS NOT NULL"
        )
        yield


@asynccontextmanager
async def _housekeeping(place: Place) -> AsyncIterator[None]:
    """A step has not been done for hours: somebody's transaction is in its way."""
    done = "UPDATE housekeeping SET done_at = now() - $1::interval"
    async with place.session() as somebody:
        await somebody.execute("BEGIN; LOCK TABLE outbox IN ACCESS SHARE MODE")
        await place.admin.execute(done, timedelta(hours=7))
        try:
            yield
        finally:
            await place.admin.execute(done, timedelta())


@asynccontextmanager
async def _break(place: Place) -> AsyncIterator[None]:
    """The provider moved money of which we know nothing."""
    now, report = datetime.now(UTC), place.platform.directory / "report.csv"
    report.write_text(
        "kind,reference,payment_id,refund_id,currency,amount,status,occurred_at\n"
        f"charge,pi_unknown,,,USD,1.00,succeeded,{(now - timedelta(hours=2)).isoformat()}\n"
    )
    period = ((now - timedelta(hours=3)).isoformat(), (now - timedelta(hours=1)).isoformat())
    await place.platform.command(
        *("reconcile", "--provider", "stripe", "--report", str(report)),
        *("--from", period[0], "--to", period[1]),
        code=3,
    )
    try:
        yield
    finally:
        await place.admin.execute("DELETE FROM reconciliation_breaks")


@asynccontextmanager
async def _provider(place: Place, *, answer: bytes) -> AsyncIterator[None]:
    """Whatever it is asked, it answers that."""
    place.site.provider.go(Way.OPEN, answer)
    try:
        async with place.clients.at_work():
            yield
    finally:
        place.site.provider.go(Way.OPEN)
        # What it knows of the provider is forgotten with it, and nobody waits for a trial.
        async with place.without("charge"):
            pass
        await place.until_ended()


@asynccontextmanager
async def _nobody_there(place: Place) -> AsyncIterator[None]:
    """At the provider's address nobody listens."""
    nowhere = f"http://127.0.0.1:{free_port()}"
    async with _instead(place, PAYMENTS_STRIPE_BASE_URL=nowhere), place.clients.at_work():
        yield


@asynccontextmanager
async def _instead(place: Place, **settings: str) -> AsyncIterator[None]:
    """In the charge worker's place one with other settings."""
    async with place.without("charge"):
        other = place.platform.charge("one", **settings)
        before, place.watch.targets["charge"] = place.watch.targets["charge"], other
        try:
            await other.start()
            yield
        finally:
            place.watch.targets["charge"] = before
            other.end()
    await place.until_ended()


@asynccontextmanager
async def _neglect(place: Place) -> AsyncIterator[None]:
    """For a minute nobody works, and then all that waited ends late."""
    await place.site.stop("charge")
    try:
        await place.paid(5)
        await place.watch.sees("StageLagOld", within=120)
    finally:
        await place.back("charge")
    yield


@asynccontextmanager
async def _too_slow(place: Place) -> AsyncIterator[None]:
    """One call of a provider at a time, which takes its time, for twelve payments a second."""
    place.site.provider.go(Way.SLOW)
    try:
        async with (
            _instead(place, PAYMENTS_PAYMENT_PROVIDER_CONCURRENCY="1"),
            place.clients.at_work(),
            place.clients.at_work(),
            place.clients.at_work(),
        ):
            yield
            place.site.provider.go(Way.OPEN)
    finally:
        place.site.provider.go(Way.OPEN)


def _answer(status: str, headers: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\n{headers}Content-Length: 0\r\nConnection: close\r\n\r\n".encode()


FAULTS: Final[Mapping[str, Fault]] = {
    "messages are poison": Fault(_poisoned, ("DeadLettersMany", "StageStalled"), is_slow=True),
    "a letter is old": Fault(_letter_is_old, ("DeadLettersOld",)),
    "two workers have one name": Fault(_twins, ("StageNameClash",), is_slow=True),
    "a group is rewound": Fault(_rewound, ("StageRewound",), is_slow=True),
    "nobody charges or schedules": Fault(
        _nobody_charges, ("ProcessDown", "StageStopped", "WorkOverdue"), is_slow=True
    ),
    "house-keeping is refused": Fault(_housekeeping, ("HousekeepingRefused",)),
    "a report differs": Fault(_break, ("BreaksOpen",)),
    "a key was revoked": Fault(
        partial(_provider, answer=_answer("401 Unauthorized")),
        ("ProviderRefusesCredentials", "RetriesHigh"),
        is_slow=True,
    ),
    "a provider is not there": Fault(_nobody_there, ("ProviderUnreachable",), is_slow=True),
    "a provider is broken": Fault(
        partial(_provider, answer=_answer("500 Internal Server Error")),
        ("BreakerOpen",),
        is_slow=True,
    ),
    "a quota is used up": Fault(
        partial(_provider, answer=_answer("429 Too Many Requests", "Retry-After: 5\r\n")),
        ("ProviderLimited",),
        is_slow=True,
    ),
    "nobody works for a minute": Fault(
        _neglect, ("StageStopped", "StageLagOld", "PaymentsSlow"), is_slow=True
    ),
    "a stage is too slow": Fault(_too_slow, ("StageLagGrowing",), is_slow=True),
}
