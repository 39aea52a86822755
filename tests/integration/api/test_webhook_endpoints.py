"""Webhook endpoints over HTTP: made, changed, rotated, tested, replayed; and who sees a secret."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from tests.support.api.ingress import Options, running
from topics.contracts.webhooks import Keyring

if TYPE_CHECKING:
    import asyncpg

    from process.addresses import RedisAddress
    from tests.support.api.ingress import Client

PATH = "/api/v1/webhook-endpoints"
BODY = {"url": "https://shop.example/webhooks", "event_types": ["payment.completed"]}


async def test_the_secret_is_shown_once_and_is_nowhere_at_rest(
    client: Client, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    """The same request is answered with the same bytes, and no table has them."""
    key = str(uuid.uuid4())
    made = await client.post(PATH, BODY, key=key)
    assert made.status == 201
    secret = made.text("secret")
    assert secret.startswith("whsec_")
    again = await client.post(PATH, BODY, key=key)
    assert (again.body, again.headers["Idempotent-Replayed"]) == (made.body, "true")
    assert "X-Key-Id" not in {**made.headers, **again.headers}
    shown = await client.get(made.headers["Location"])
    listed = await client.get(PATH)
    assert secret not in shown.body.decode() + listed.body.decode()
    assert "secret" not in shown.json
    kept = await pool.fetchval(
        "SELECT string_agg(encode(body, 'escape'), '') FROM idempotency_keys"
    )
    row = await pool.fetchval("SELECT webhook_endpoints::text FROM webhook_endpoints")
    assert secret not in kept + row


async def test_a_new_secret_is_another_and_replayed_as_it_was(client: Client) -> None:
    """Also after it was rotated once more."""
    made = await client.post(PATH, BODY)
    address, key = made.headers["Location"], str(uuid.uuid4())
    rotated = await client.post(f"{address}/rotate-secret", {"overlap_seconds": 60}, key=key)
    assert rotated.status == 200
    assert rotated.json["secret_number"] == 2
    assert rotated.json["previous_secret_until"] is not None
    third = await client.post(f"{address}/rotate-secret")
    secrets = {each.text("secret") for each in (made, rotated, third)}
    assert len(secrets) == 3
    again = await client.post(f"{address}/rotate-secret", {"overlap_seconds": 60}, key=key)
    assert again.body == rotated.body


async def test_an_endpoint_is_changed_paused_enabled_and_deleted(client: Client) -> None:
    """What is left out stays; what is deleted is not there any more."""
    address = (await client.post(PATH, BODY)).headers["Location"]
    paused = await client.send("PATCH", address, body=b'{"state": "paused"}')
    assert (paused.status, paused.json["state"]) == (200, "paused")
    assert paused.json["event_types"] == ["payment.completed"]
    refused = await client.post(f"{address}/test")
    assert (refused.status, refused.code) == (409, "webhook_endpoint_not_enabled")
    changed = await client.send(
        "PATCH", address, body=b'{"state": "enabled", "event_types": [], "description": "shop"}'
    )
    assert (changed.json["state"], changed.json["event_types"]) == ("enabled", [])
    assert (await client.get(PATH + "?state=enabled")).json["data"] == [changed.json]
    assert (await client.send("DELETE", address)).status == 200
    for reply in (await client.get(address), await client.post(f"{address}/test")):
        assert (reply.status, reply.code) == (404, "not_found")
    assert (await client.get(PATH)).json["data"] == []


async def test_a_test_event_is_a_delivery_that_can_be_followed(client: Client) -> None:
    """And sent again, by itself or with others."""
    address = (await client.post(PATH, BODY)).headers["Location"]
    test = await client.post(f"{address}/test")
    assert test.status == 202
    delivery = await client.get(f"{address}/deliveries/{test.text('delivery_id')}")
    assert (delivery.json["event_type"], delivery.json["state"]) == ("webhook.test", "pending")
    assert delivery.json["attempts"] == []
    page = await client.get(f"{address}/deliveries?state=pending&event_type=webhook.test")
    assert [each["id"] for each in page.json["data"]] == [delivery.json["id"]]  # type: ignore[attr-defined]  # a list
    assert (await client.get(f"{address}/deliveries?state=failed")).json["data"] == []
    made_at = delivery.text("created_at")
    for bound, count in (("gte", 1), ("lt", 0)):
        page = await client.get(f"{address}/deliveries?created[{bound}]={made_at}")
        assert len(page.json["data"]) == count  # type: ignore[arg-type]  # a list
    one = await client.post(f"{address}/deliveries/{delivery.text('id')}/replay")
    assert (one.status, one.json["delivery_id"]) == (202, delivery.json["id"])
    failed = await client.post(f"{address}/replays", {"created_from": "2026-01-01T00:00:00Z"})
    assert (failed.status, failed.json["failed_only"]) == (202, True)


@pytest.mark.parametrize(
    "url",
    [
        "http://shop.example/hook",
        "https://127.0.0.1/",
        "https://[::1]:8443/",
        "https://[::ffff:10.0.0.1]/",
        "https://169.254.169.254/latest/meta-data",
        "https://user:password@shop.example/",
        "https:///nowhere",
        "ftp://shop.example/",
        "https://shop.example:99999/",
        "https://shop example/",
    ],
)
async def test_where_nothing_may_be_sent_is_refused_at_the_door(client: Client, url: str) -> None:
    """With the field that says so."""
    reply = await client.post(PATH, {"url": url})
    assert (reply.status, reply.code) == (422, "invalid_request")
    assert [each["pointer"] for each in reply.json["errors"]] == ["/url"]  # type: ignore[attr-defined]  # a list


async def test_without_a_key_no_secret_can_be_made(
    pool: asyncpg.Pool[asyncpg.Record], redis_address: RedisAddress
) -> None:
    """It says what its operator must set; all else goes on."""
    async with running(pool, redis_address, Options(webhook_key="")) as ingress:
        reply = await ingress.client.post(PATH, BODY)
        assert (reply.status, reply.code) == (503, "unavailable")
        assert "PAYMENTS_WEBHOOK_KEY" in reply.text("detail")
        assert (await ingress.client.get(PATH)).status == 200


async def test_a_key_is_replaced_while_secrets_of_the_old_one_go_on(
    pool: asyncpg.Pool[asyncpg.Record], redis_address: RedisAddress
) -> None:
    """The first of several is for new secrets, and the others for those that there are."""
    key = str(uuid.uuid4())
    async with running(pool, redis_address, Options(webhook_key="old")) as ingress:
        made = await ingress.client.post(PATH, BODY, key=key)
    async with running(pool, redis_address, Options(webhook_key="new, old")) as ingress:
        assert (await ingress.client.post(PATH, BODY, key=key)).body == made.body
        other = await ingress.client.post(PATH, BODY)
    keyring, endpoint_id = Keyring.of("new"), UUID(other.text("id"))
    assert other.text("secret") == keyring.secret(endpoint_id, 1, keyring.current_id)


async def test_there_are_so_many_endpoints_and_no_more(client: Client) -> None:
    """Each event is sent to each of them."""
    made = [await client.post(PATH, BODY, key=str(number)) for number in range(100)]
    assert {reply.status for reply in made} == {201}
    refused = await client.post(PATH, BODY)
    assert (refused.status, refused.code) == (409, "webhook_endpoints_exhausted")
    assert (await client.post(PATH, BODY, key="99")).body == made[99].body
    assert (await client.send("DELETE", f"{PATH}/{made[0].text('id')}")).status == 200
    assert (await client.post(PATH, BODY)).status == 201
