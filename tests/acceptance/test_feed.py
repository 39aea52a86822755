"""The feed of events of a whole installation: what its stages do, as the topics have it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from tests.support.api.feed import listening, read_all
from tests.support.api.ingress import Client as FeedClient

if TYPE_CHECKING:
    from tests.support.acceptance.client import Client
    from tests.support.acceptance.consumers import Topics


async def test_a_payments_story_is_told_to_who_listens(client: Client, topics: Topics) -> None:
    """As it happens, in order, under the topic's ids and with its values; a page says so too."""
    account = await client.account()
    body = {
        "payment_type": "external_payment",
        "source_account_id": account,
        "amount": "50.00",
        "currency": "USD",
        "provider": "stripe",
    }
    opened = await client.post("/api/v1/accounts", {"user_id": "u", "currency": "USD"})
    cursor = opened.headers["Stream-Position"]
    reader = FeedClient(client.http, "")
    async with listening(reader, cursor=cursor, account_id=account) as ear:
        payment_id = (await client.post("/api/v1/payments", body)).body["id"]
        await ear.hear(2)
        await client.refunded(payment_id, {"amount": "10.00"})
        await ear.hear(2)
    told = await topics.from_kafka(
        "payments.events",
        payment_id,
        lambda messages: any(each.type == "refund.completed" for each in messages),
    )
    assert [(each["id"], each["type"], each["data"]) for each in ear.events] == [
        (message.headers["ce_id"], message.type, orjson.loads(message.value)) for message in told
    ]
    assert await read_all(reader, cursor, payment_id=payment_id) == ear.events
