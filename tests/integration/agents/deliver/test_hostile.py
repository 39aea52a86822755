"""Whatever an endpoint answers, or a row of ours holds, is the end of one try and of no other."""

from __future__ import annotations

import socket
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import pytest
from aiohttp import web

from payments.webhook_schedule import RETRY_AFTER_MAX_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from payments.webhook_endpoint import WebhookEndpoint
    from tests.support.agents.webhooks import Office, Street

CREATED, COMPLETED = "payment.created", "payment.completed"
_NAME: Final = "hostile.test"
_URL: Final = f"http://{_NAME}/hooks"


def resolves(monkeypatch: pytest.MonkeyPatch, answer: Callable[[], object]) -> None:
    """Have the hostile name answered so."""
    real = socket.getaddrinfo

    def asked(host: str, port: int, *more: int) -> object:
        return answer() if host == _NAME else real(host, port, *more)

    monkeypatch.setattr(socket, "getaddrinfo", asked)


async def it_ends_one_try_alone(office: Office, shops: Street, hostile: WebhookEndpoint) -> None:
    """A good endpoint gets all, before and after; the hostile one's try is kept, and made again."""
    good = await office.endpoint(shops.shop().url, CREATED)
    async with office.worker().sending():
        await office.happens(CREATED)
        await office.tried(hostile, 1)
        await office.become(good, "delivered")
        await office.happens(CREATED)
        await office.become(good, "delivered", "delivered")
    delivery = (await office.deliveries(hostile))[0]
    row = await office.pool.fetchrow(
        "SELECT state, retry_count, last_error FROM webhook_deliveries WHERE id = $1", delivery.id
    )
    assert row is not None
    assert (row["state"], row["retry_count"]) == ("pending", 1)
    assert row["last_error"]
    assert (await office.known(hostile)).failure_count > 0


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    "retry_after",
    [
        "Mon, 01 Jan 99999999999 00:00:00 GMT",
        "Mon, 01 Jan 2024 00:00:00 +9999999999999999",
    ],
)
async def test_a_time_that_no_calendar_has_is_not_waited_for(
    office: Office, shops: Street, status: int, retry_after: str
) -> None:
    """It is tried again by the schedule, as if it had not said when."""
    shop = shops.shop()
    headers = {"Retry-After": retry_after}
    shop.answers = [web.Response(status=status, headers=headers) for _ in range(2)]
    hostile = await office.endpoint(shop.url)
    await it_ends_one_try_alone(office, shops, hostile)
    (attempt,) = await office.attempts((await office.deliveries(hostile))[0])
    assert (attempt.status, attempt.error) == (status, f"answered {status}")


@pytest.mark.parametrize("retry_after", ["Fri, 31 Dec 9999 23:59:59 GMT", "9" * 5000])
async def test_nothing_is_put_off_for_longer_than_a_day(
    office: Office, shops: Street, retry_after: str
) -> None:
    """However long it asks for: it would never be given up."""
    shop = shops.shop()
    shop.answers = [web.Response(status=503, headers={"Retry-After": retry_after})]
    hostile = await office.endpoint(shop.url)
    await it_ends_one_try_alone(office, shops, hostile)
    delivery = (await office.deliveries(hostile))[0]
    assert delivery.due_at is not None
    assert delivery.due_at - delivery.updated_at == timedelta(seconds=RETRY_AFTER_MAX_S)


async def test_what_nobody_foresaw_ends_one_try_alone(
    office: Office, shops: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here a resolver that fails as none should."""

    def failed() -> object:
        raise RuntimeError("no resolver says that")

    resolves(monkeypatch, failed)
    await it_ends_one_try_alone(office, shops, await office.endpoint(_URL))


async def test_a_row_that_no_webhook_can_be_made_of_ends_one_try_alone(
    office: Office, shops: Street
) -> None:
    """Here an event from before all calendars."""
    hostile = await office.endpoint(shops.shop().url, COMPLETED)
    await office.happens(COMPLETED)
    await office.pool.execute("UPDATE webhook_events SET occurred_at = '-infinity'")
    await it_ends_one_try_alone(office, shops, hostile)


@pytest.mark.parametrize("body", [b"\0" * 10, b"\xff\xfe\x00", "\u2028\ud7ff".encode()])
@pytest.mark.parametrize("status", [204, 400, 599, 999])
async def test_any_status_and_any_bytes_are_kept(
    office: Office, shops: Street, status: int, body: bytes
) -> None:
    """As they came."""
    shop = shops.shop()
    shop.answers = [web.Response(status=status, body=body if status != 204 else None)]
    endpoint = await office.endpoint(shop.url)
    await office.happens(CREATED)
    async with office.worker().sending():
        await office.tried(endpoint, 1)
    (attempt,) = await office.attempts((await office.deliveries(endpoint))[0])
    assert attempt.status == status
    assert attempt.answer == (body if status != 204 else b"")
