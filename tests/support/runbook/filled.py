"""What stands for something in a command of the documents, made on a platform: an id, a file."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from aiokafka import AIOKafkaProducer
from prometheus_client import CollectorRegistry

from payments.outcome import Unresolvable
from telemetry.metrics import Metrics
from tests.support.alerts.relays import FAULTS as RELAYS
from tests.support.alerts.stages import FAULTS as STAGES
from tests.support.api.stage import settle
from tests.support.fixtures.committer import brisk
from tests.support.waiting import eventually
from topics.names import CHARGES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    from tests.support.alerts.place import Place

    Filling = Callable[[Place], AbstractAsyncContextManager[Mapping[str, str]]]

_LOST: Final = Unresolvable("key_window_passed", "nobody can tell")
_PAYMENT: Final = {
    "payment_type": "external_payment",
    "amount": "50.00",
    "currency": "USD",
    "provider": "stripe",
}


async def _accepted(place: Place, **more: str) -> str:
    body = {"user_id": "u", "currency": "USD", "initial_balance": "1000"}
    account = await place.post("/api/v1/accounts", body)
    paid = {**_PAYMENT, "source_account_id": account["id"], **more}
    return str((await place.post("/api/v1/payments", paid))["id"])


async def _becomes(place: Place, payment_id: str, status: str) -> None:
    async def is_so() -> bool:
        found = await place.admin.fetchval("SELECT status FROM payments WHERE id = $1", payment_id)
        assert found == status, found
        return True

    await eventually(is_so, within=30.0)


@asynccontextmanager
async def _charge_in_review(place: Place) -> AsyncIterator[Mapping[str, str]]:
    """Nobody can tell whether it was charged."""
    async with place.without("charge"), brisk(place.site.database, _metrics()) as committer:
        payment_id = await _accepted(place)
        await settle(committer, payment_id, _LOST)
        yield {"ID": payment_id}


@asynccontextmanager
async def _void_in_review(place: Place) -> AsyncIterator[Mapping[str, str]]:
    """Nobody can tell whether an authorization was let go."""
    payment_id = await _accepted(place, capture_method="manual")
    await _becomes(place, payment_id, "authorized")
    async with place.without("charge"), brisk(place.site.database, _metrics()) as committer:
        await place.post(f"/api/v1/payments/{payment_id}/cancel", {})
        await settle(committer, payment_id, _LOST, attempt=2)
        yield {"ID": payment_id}


@asynccontextmanager
async def _completed(place: Place) -> AsyncIterator[Mapping[str, str]]:
    payment_id = await _accepted(place)
    await _becomes(place, payment_id, "completed")
    yield {"PAYMENT_ID": payment_id}


@asynccontextmanager
async def _parked(place: Place) -> AsyncIterator[Mapping[str, str]]:
    async with AIOKafkaProducer(bootstrap_servers=place.platform.kafka) as producer:
        await producer.send_and_wait(CHARGES.name, b"poison", uuid4().bytes)
    parked = "FROM dead_letters WHERE state = 'parked'"
    await place.counted(f"SELECT count(*) {parked}", 1)
    letter_id = str(await place.admin.fetchval(f"SELECT id {parked}"))
    yield {"ID": letter_id}
    await place.platform.command("dlq", "discard", letter_id, "--reason", "a test")


@asynccontextmanager
async def _set_aside(place: Place) -> AsyncIterator[Mapping[str, str]]:
    async with RELAYS["a message is too large"].broken(place):
        await place.counted("SELECT least(count(*), 2) FROM relay_set_aside", 2)
        first = "SELECT id FROM relay_set_aside WHERE reason IS NOT NULL ORDER BY position LIMIT 1"
        yield {"ID": str(await place.admin.fetchval(first))}


@asynccontextmanager
async def _open_break(place: Place) -> AsyncIterator[Mapping[str, str]]:
    async with STAGES["a report differs"].broken(place):
        yield {"ID": str(await place.admin.fetchval("SELECT id FROM reconciliation_breaks"))}


@asynccontextmanager
async def _empty_report(place: Place) -> AsyncIterator[Mapping[str, str]]:
    report = place.platform.directory / "empty.csv"
    report.write_text("kind,reference,payment_id,refund_id,currency,amount,status,occurred_at\n")
    from_to = "--from 2020-01-01T00:00:00Z --to 2020-01-02T00:00:00Z"
    yield {"FILE": str(report), "--from ... --to ...": from_to, "--from TIME --to TIME": from_to}


@asynccontextmanager
async def _exported(place: Place) -> AsyncIterator[Mapping[str, str]]:
    file = place.platform.directory / "ledger.jsonl"
    file.unlink(missing_ok=True)
    await place.platform.command("ledger", "export", "--output", str(file))
    yield {"FILE": str(file)}


@asynccontextmanager
async def _new_file(place: Place) -> AsyncIterator[Mapping[str, str]]:
    yield {"FILE": str(place.platform.directory / "new.jsonl")}


@asynccontextmanager
async def _archived(place: Place) -> AsyncIterator[Mapping[str, str]]:
    folder = place.platform.directory / "archive"
    folder.mkdir()
    await place.platform.command("archive", "--before", "2020-01-01", "--to", str(folder))
    yield {"/archive/payments": str(folder)}


@asynccontextmanager
async def _folder(place: Place) -> AsyncIterator[Mapping[str, str]]:
    folder = place.platform.directory / "another"
    folder.mkdir(exist_ok=True)
    yield {"/archive/payments": str(folder)}


@asynccontextmanager
async def _nothing(place: Place) -> AsyncIterator[Mapping[str, str]]:
    del place
    yield {" ...": "", "STAGE": "charge"}


def _metrics() -> Metrics:
    return Metrics(CollectorRegistry())


# By how a command begins, the longest first; what is slow to make is for the long tests.
SLOW: Final[Mapping[str, Filling]] = {
    "resolve ID --outcome succeeded": _charge_in_review,
    "resolve ID --outcome captured": _void_in_review,
    "resolve ID --failed": _charge_in_review,
    "relay retry": _set_aside,
    "relay skip": _set_aside,
}
_QUICK: Final[Mapping[str, Filling]] = {
    "observe PAYMENT_ID": _completed,
    "dlq show ID": _parked,
    "reconcile resolve ID": _open_break,
    "reconcile --provider": _empty_report,
    "ledger verify --known": _exported,
    "ledger export": _new_file,
    "verify --archive": _archived,
    "archive --before": _folder,
}


def filling_of(command: str) -> Filling:
    """What its placeholders are to be filled with."""
    all_of_them = {**SLOW, **_QUICK}
    return next((all_of_them[each] for each in all_of_them if command.startswith(each)), _nothing)
