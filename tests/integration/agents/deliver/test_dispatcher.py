"""What is sent to endpoints, when, and what becomes of it: on a real Postgres, to a real server."""

from __future__ import annotations

import errno
import socket
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING

import orjson
import pytest
import standardwebhooks
from aiohttp import web

from agents.deliver import sending
from agents.deliver.recording import Recording
from payments.webhook_endpoint import (
    DeleteWebhookEndpoint,
    DisableWebhookEndpoint,
    EndpointState,
    RotateWebhookSecret,
    SendTestEvent,
)
from payments.webhook_schedule import RETRIES_S
from store.write.webhook_deliveries import claim_webhook_deliveries, record_webhook_events
from tests.support.agents.webhooks import KEYRING, wanted
from tests.support.factories import TENANT
from tests.support.waiting import eventually
from topics.contracts.webhook_urls import Reach
from topics.contracts.webhooks import Keyring

if TYPE_CHECKING:
    from aiohttp import AddrInfoType

    from tests.support.agents.webhooks import Office, Received, Street

CREATED, COMPLETED = "payment.created", "payment.completed"


def vouched(received: Received, secret: str) -> object:
    """What Standard Webhooks' own library makes of it. Raises for what it does not believe."""
    return standardwebhooks.Webhook(secret).verify(received.body, dict(received.headers))


async def test_an_event_is_sent_signed_as_the_standard_has_it(
    office: Office, shops: Street
) -> None:
    """With the event's id, its type, when it happened, and the very data of its message."""
    shop = shops.shop()
    endpoint = await office.endpoint(shop.url)
    (event,) = await office.happens(CREATED)
    async with office.worker().sending():
        await office.become(endpoint, "delivered")
    (received,) = shop.received
    body = vouched(received, KEYRING.secret(endpoint.id, 1, endpoint.key_id))
    assert body == {
        "id": str(event.id),
        "type": CREATED,
        "timestamp": event.occurred_at.isoformat().replace("+00:00", "Z"),
        "data": orjson.loads(event.data),
    }
    assert received.headers["webhook-id"] == str(event.id)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        vouched(received, KEYRING.secret(uuid.uuid4(), 1, endpoint.key_id))


async def test_an_endpoint_gets_its_tenants_events_of_its_types(
    office: Office, shops: Street
) -> None:
    """And nothing from before it was there."""
    shop, other = shops.shop(), shops.shop()
    await office.happens(COMPLETED)
    mine = await office.endpoint(shop.url, COMPLETED)
    theirs = await office.endpoint(other.url, tenant_id="other")
    await office.happens(CREATED, COMPLETED)
    await office.happens(CREATED, tenant_id="other")
    async with office.worker().sending():
        await office.become(mine, "delivered")
        await office.become(theirs, "delivered")
    assert [each.event["type"] for each in shop.received] == [COMPLETED]
    assert [each.event["type"] for each in other.received] == [CREATED]


@pytest.mark.parametrize(
    ("state", "is_passed_over"),
    [
        (EndpointState.ENABLED, False),
        (EndpointState.PAUSED, False),
        (EndpointState.DISABLED, True),
        (EndpointState.DELETED, True),
    ],
)
async def test_events_are_passed_over_where_no_endpoint_takes_any(
    office: Office, state: EndpointState, *, is_passed_over: bool
) -> None:
    """Any tenant's; and none are while nobody can tell."""
    recording = Recording(office.pool, office.metrics, office.now, lambda: None)
    assert await recording.passes_over(7)
    endpoint = await office.endpoint("https://shop.example/hooks", tenant_id="other")
    match state:
        case EndpointState.DELETED:
            gone = DeleteWebhookEndpoint(tenant_id="other", endpoint_id=endpoint.id, actor="test")
            await office.did(gone)
        case EndpointState.DISABLED:
            given_up = DisableWebhookEndpoint(
                tenant_id="other", endpoint_id=endpoint.id, actor="test", reason="it took nothing"
            )
            await office.did(given_up)
        case _:
            await office.set_state(endpoint, state)
    assert await recording.passes_over(7) == is_passed_over
    await office.pool.close()
    assert not await recording.passes_over(7)


async def test_a_message_that_comes_again_is_sent_once(office: Office, shops: Street) -> None:
    """Recorded once an endpoint, by its id."""
    shop = shops.shop()
    endpoint = await office.endpoint(shop.url)
    events = await office.happens(CREATED)
    async with office.worker().sending():
        await office.become(endpoint, "delivered")
        await record_webhook_events(office.pool, [*events, *events], office.now())
        await office.happens(COMPLETED)
        await office.become(endpoint, "delivered", "delivered")
    assert len(shop.received) == 2


async def test_what_is_not_taken_is_tried_by_the_schedule_and_every_try_is_kept(
    office: Office, shops: Street
) -> None:
    """Status, time and the answer's first kilobyte; given up after the last."""
    shop = shops.shop()
    shop.refuses = lambda _: True
    endpoint = await office.endpoint(shop.url)
    await office.happens(CREATED)
    async with office.worker().sending():
        for number, pause_s in enumerate(RETRIES_S, 1):
            await office.tried(endpoint, number)
            (delivery,) = await office.deliveries(endpoint)
            assert delivery.due_at is not None
            pause = delivery.due_at - delivery.updated_at
            assert timedelta(seconds=pause_s) <= pause <= timedelta(seconds=pause_s * 1.2)
            # What it has failed for is a day or less at a time: it is not disabled meanwhile.
            await office.pool.execute("DELETE FROM webhook_endpoint_failures")
            office.later(seconds=pause_s * 1.2)
        await office.become(endpoint, "failed")
    (delivery,) = await office.deliveries(endpoint)
    attempts = await office.attempts(delivery)
    assert [each.number for each in attempts] == [*range(1, len(RETRIES_S) + 2)]
    assert {each.status for each in attempts} == {500}
    assert set(shop.ids()) == {str(delivery.event_id)}


async def test_an_answers_first_kilobyte_is_kept(office: Office, shops: Street) -> None:
    """Whatever else it sends."""
    shop = shops.shop()
    shop.answers = [web.Response(status=400, text="no" * 5_000)]
    endpoint = await office.endpoint(shop.url)
    await office.happens(CREATED)
    async with office.worker().sending():
        await office.tried(endpoint, 1)
    (attempt,) = await office.attempts((await office.deliveries(endpoint))[0])
    assert (attempt.status, attempt.answer) == (400, b"no" * 512)


async def test_a_payments_events_come_in_their_order(office: Office, shops: Street) -> None:
    """One that is not taken holds back what follows of its payment, and of no other."""
    shop = shops.shop()
    stuck, free = uuid.uuid4(), uuid.uuid4()
    shop.refuses = lambda event: event["type"] == CREATED and str(stuck) in str(event["data"])
    endpoint = await office.endpoint(shop.url)
    await office.happens(CREATED, COMPLETED, payment_id=stuck)
    async with office.worker().sending():
        await office.tried(endpoint, 1)
        for _ in range(5):
            await office.happens(CREATED, COMPLETED, payment_id=free, first=1)
            free = uuid.uuid4()
        await office.become(endpoint, "pending", "pending", *["delivered"] * 10)
        shop.refuses = lambda _: False
        office.later(minutes=10)
        await office.become(endpoint, *["delivered"] * 12)
    of_stuck = [
        each.event["type"] for each in shop.received if str(stuck) in str(each.event["data"])
    ]
    assert of_stuck[-2:] == [CREATED, COMPLETED]
    assert COMPLETED not in of_stuck[:-1]


async def test_what_was_given_up_lets_go_what_follows(office: Office, shops: Street) -> None:
    """For a payment's later events an earlier one that failed is over."""
    shop = shops.shop()
    shop.refuses = lambda event: event["type"] == CREATED
    endpoint = await office.endpoint(shop.url)
    await office.happens(CREATED, COMPLETED)
    await office.pool.execute("UPDATE webhook_deliveries SET retry_count = $1", len(RETRIES_S))
    async with office.worker().sending():
        await office.become(endpoint, "failed", "delivered")


async def test_an_endpoint_says_when_it_takes_more(office: Office, shops: Street) -> None:
    """Retry-After, in seconds; not for longer than a day."""
    shop = shops.shop()
    too_many = {"Retry-After": "7200"}
    shop.answers = [web.Response(status=429, headers=too_many)]
    endpoint = await office.endpoint(shop.url)
    await office.happens(CREATED)
    async with office.worker().sending():
        await office.tried(endpoint, 1)
        (delivery,) = await office.deliveries(endpoint)
        assert delivery.due_at is not None
        assert delivery.due_at - delivery.updated_at == timedelta(seconds=7200)
        # Nor is anything else sent to it for as long as that.
        known = await office.known(endpoint)
        assert known.retry_at is not None
        assert known.retry_at > office.now() + timedelta(minutes=50)


async def test_while_a_secret_is_rotated_both_sign(office: Office, shops: Street) -> None:
    """And when the overlap is over the new one alone."""
    shop = shops.shop()
    endpoint = await office.endpoint(shop.url)
    rotate = RotateWebhookSecret(
        tenant_id=TENANT,
        endpoint_id=endpoint.id,
        overlap_s=3600,
        key_id=KEYRING.current_id,
        actor="test",
    )
    await office.did(rotate)
    old, new = (KEYRING.secret(endpoint.id, number, endpoint.key_id) for number in (1, 2))
    async with office.worker().sending():
        await office.happens(CREATED)
        await office.become(endpoint, "delivered")
        assert vouched(shop.received[0], old) == vouched(shop.received[0], new)
        office.later(hours=2)
        await office.happens(CREATED)
        await office.become(endpoint, "delivered", "delivered")
    (signature,) = shop.received[1].headers["webhook-signature"].split(" ")
    assert signature.startswith("v1,")


async def test_a_redirect_is_not_followed(office: Office, shops: Street) -> None:
    """Who may name an address may not name another one later."""
    shop, elsewhere = shops.shop(), shops.shop()
    shop.answers = [web.Response(status=307, headers={"Location": elsewhere.url})]
    endpoint = await office.endpoint(shop.url)
    await office.happens(CREATED)
    async with office.worker().sending():
        await office.tried(endpoint, 1)
    assert elsewhere.received == []
    (delivery,) = await office.deliveries(endpoint)
    assert (delivery.last_status, delivery.state) == (307, "pending")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "[::ffff:127.0.0.1]"])
async def test_nothing_within_our_network_is_connected_to(
    office: Office, shops: Street, host: str
) -> None:
    """By whatever name: what counts is the address that the connection is made to."""
    shop = shops.shop()
    endpoint = await office.endpoint(shop.url.replace("127.0.0.1", host))
    await office.happens(CREATED)
    async with office.worker(reach=Reach()).sending():
        await office.tried(endpoint, 1)
    assert shop.received == []
    (delivery,) = await office.deliveries(endpoint)
    assert delivery.last_status is None
    assert delivery.last_error in {
        "the address is none of the public internet",
        "its name does not resolve",
    }


async def test_hanging_endpoints_hold_up_nobody_else(office: Office, shops: Street) -> None:
    """What others get is taken while all of them hang, also by one that nobody knows yet."""
    hanging = [shops.shop() for _ in range(50)]
    for each in hanging:
        each.answering.clear()
        await office.endpoint(each.url)
    async with office.worker().sending():
        for _ in range(5):
            await office.happens(CREATED)
        await eventually(lambda: all(each.under_way for each in hanging))
        shop = shops.shop()
        endpoint = await office.endpoint(shop.url, COMPLETED)
        for _ in range(40):
            await office.happens(COMPLETED)
        await office.become(endpoint, *["delivered"] * 40)
        assert sum(len(each.received) for each in hanging) == 0
        for each in hanging:
            each.answering.set()


async def test_two_workers_share_the_work(office: Office, shops: Street) -> None:
    """Each delivery is made once."""
    shop = shops.shop()
    endpoint = await office.endpoint(shop.url)
    for _ in range(50):
        await office.happens(CREATED)
    async with office.worker().sending(), office.worker().sending():
        await office.become(endpoint, *["delivered"] * 50)
    assert len(shop.received) == len(set(shop.ids())) == 50


async def test_what_a_dead_worker_had_under_way_is_sent_by_another(
    office: Office, shops: Street
) -> None:
    """When its lease runs out; its try is kept as one that never ended."""
    shop = shops.shop()
    endpoint = await office.endpoint(shop.url)
    await office.happens(CREATED)
    now = office.now()
    assert len(await claim_webhook_deliveries(office.pool, wanted(now), now)) == 1
    assert await claim_webhook_deliveries(office.pool, wanted(now), now) == []
    async with office.worker().sending():
        office.later(seconds=31)
        await office.become(endpoint, "delivered")
    attempts = await office.attempts((await office.deliveries(endpoint))[0])
    assert [each.status for each in attempts] == [None, 200]


async def test_what_happens_while_an_endpoint_is_paused_is_sent_afterwards(
    office: Office, shops: Street
) -> None:
    """Kept, and sent in its order when it is enabled again."""
    shop, other = shops.shop(), shops.shop()
    endpoint, running = await office.endpoint(shop.url), await office.endpoint(other.url)
    await office.set_state(endpoint, EndpointState.PAUSED)
    async with office.worker().sending():
        events = await office.happens(CREATED, COMPLETED)
        await office.become(running, "delivered", "delivered")
        assert shop.received == []
        await office.set_state(endpoint, EndpointState.ENABLED)
        await office.become(endpoint, "delivered", "delivered")
    assert shop.ids() == [str(each.id) for each in events]


async def test_one_or_all_of_a_time_are_sent_again(office: Office, shops: Street) -> None:
    """Under the ids they had, from when they were made."""
    shop = shops.shop()
    endpoint = await office.endpoint(shop.url)
    office.later(hours=-2)
    await office.happens(CREATED)
    office.later(hours=1)
    since = office.now()
    await office.happens(CREATED)
    await office.happens(CREATED)
    async with office.worker().sending():
        await office.become(endpoint, *["delivered"] * 3)
        first, *rest = await office.deliveries(endpoint)
        office.later(hours=1)
        await office.replay(endpoint, delivery_id=first.id)
        await eventually(lambda: shop.ids().count(str(first.event_id)) == 2)
        await office.replay(endpoint, created_from=since)
        await eventually(lambda: len(shop.received) == 6)
        await office.become(endpoint, *["delivered"] * 3)
    assert sorted(shop.ids()[4:]) == sorted(str(each.event_id) for each in rest)


async def test_a_test_event_goes_to_its_endpoint_alone(office: Office, shops: Street) -> None:
    """Whatever types it is sent."""
    shop, other = shops.shop(), shops.shop()
    endpoint, _ = await office.endpoint(shop.url, COMPLETED), await office.endpoint(other.url)
    await office.did(SendTestEvent(tenant_id=TENANT, endpoint_id=endpoint.id))
    async with office.worker().sending():
        await office.become(endpoint, "delivered")
    assert [each.event["type"] for each in shop.received] == ["webhook.test"]
    assert other.received == []


async def test_without_its_key_nothing_is_sent_and_no_try_is_lost(
    office: Office, shops: Street
) -> None:
    """It is our lack: sent as soon as a worker has the key."""
    shop = shops.shop()
    endpoint = await office.endpoint(shop.url)
    await office.happens(CREATED)
    async with office.worker(keyring=Keyring.of("another")).sending():
        await office.tried(endpoint, 1)
        (delivery,) = await office.deliveries(endpoint)
        assert delivery.state == "pending"
    assert shop.received == []
    assert (await office.known(endpoint)).failure_count == 0
    office.later(minutes=2)
    async with office.worker(keyring=Keyring.of("another, a key of tests")).sending():
        await office.become(endpoint, "delivered")


async def test_without_a_file_left_nothing_is_sent_and_no_try_is_lost(
    office: Office, shops: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of ours: no endpoint has refused anything, and it goes once there is one."""
    monkeypatch.setattr(sending, "_NOTHING_LEFT_S", 0.1)
    tries = 0

    def made(info: AddrInfoType) -> socket.socket:
        nonlocal tries
        tries += 1
        if tries <= 2:
            raise OSError(errno.EMFILE, "Too many open files")
        return socket.socket(*info[:3])

    monkeypatch.setattr(sending, "_sockets", lambda *_, **__: made)
    endpoint = await office.endpoint(shops.shop().url, CREATED)
    await office.happens(CREATED)
    async with office.worker().sending():
        await office.become(endpoint, "delivered")
    (delivery,) = await office.deliveries(endpoint)
    attempts = await office.attempts(delivery)
    assert [each.status for each in attempts] == [None, None, 200]
    assert {each.error for each in attempts[:2]} == {"we have no connection left for it"}
    # The first of the schedule's pauses is still to come.
    assert await office.pool.fetchval("SELECT max(retry_count) FROM webhook_deliveries") == 0
    assert (await office.known(endpoint)).failure_count == 0
