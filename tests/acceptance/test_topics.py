"""What happened stands on the topics, in order, for any consumer, and poison does no harm."""

from __future__ import annotations

import base64
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest

from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.acceptance.client import Client, Json
    from tests.support.acceptance.consumers import Received, Topics
    from tests.support.acceptance.running import Installation


def _has(last: str) -> Callable[[list[Received]], bool]:
    return lambda messages: any(each.type == last for each in messages)


async def test_a_payments_story_is_told_in_order_on_both(client: Client, topics: Topics) -> None:
    """Kafka and Redis Streams carry the same events, numbered from 1 without a gap."""
    account = await client.account()
    payment_id = (await client.pay(account))["id"]
    await client.ended(payment_id)
    await client.refunded(payment_id, {"amount": "10.00"})
    told = await topics.from_kafka("payments.events", payment_id, _has("refund.completed"))
    mirrored = await topics.from_redis("payments.events", payment_id, _has("refund.completed"))
    assert [(each.type, each.headers["ce_sequence"]) for each in told] == [
        ("payment.created", "0000000001"),
        ("payment.completed", "0000000002"),
        ("refund.created", "0000000003"),
        ("refund.completed", "0000000004"),
    ]
    assert [each.value for each in told] == [each.value for each in mirrored]
    assert [each.headers["ce_id"] for each in told] == [each.headers["ce_id"] for each in mirrored]
    last = told[-1].data
    assert last["payment"]["status"] == "partially_refunded"
    assert last["refund"]["amount"] == "10.00"
    assert last["payment"]["version"] == (await client.payment(payment_id))["version"]


async def test_every_message_has_its_whole_envelope(client: Client, topics: Topics) -> None:
    """CloudEvents 1.0 in binary mode, with the trace of the request that began it."""
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    account = await client.account()
    body = {
        "payment_type": "external_payment",
        "source_account_id": account,
        "amount": "5",
        "currency": "USD",
        "provider": "stripe",
    }
    accepted = await client.post("/api/v1/payments", body, traceparent=trace)
    payment_id = accepted.body["id"]
    for read in (topics.from_kafka, topics.from_redis):
        for each in await read("payments.events", payment_id, _has("payment.completed")):
            headers = each.headers
            assert UUID(headers["ce_id"]) == UUID(headers["id"])
            assert (headers["ce_specversion"], headers["ce_source"]) == ("1.0", "/payments")
            assert headers["ce_subject"] == headers["ce_partitionkey"] == payment_id
            assert headers["content-type"] == "application/json"
            assert headers["ce_time"].endswith("Z")
            assert datetime.fromisoformat(headers["ce_time"]).utcoffset() == timedelta()
            # One trace from the request to the end of the payment.
            assert headers["traceparent"].split("-")[1] == trace.split("-")[1]


async def test_balances_are_facts_on_their_own_topic(client: Client, topics: Topics) -> None:
    """Opened, then changed: the last fact is the balance."""
    account = await client.account("77.00")
    payment_id = (await client.pay(account, "7.00"))["id"]
    await client.ended(payment_id)
    facts = await topics.from_kafka("payments.accounts", account, _has("account.balance_changed"))
    assert [each.type for each in facts] == ["account.created", "account.balance_changed"]
    assert [each.data["account"]["balance"] for each in facts] == ["77.00", "70.00"]


@pytest.mark.parametrize("topic", ["payments.charges", "payments.refunds"])
async def test_a_poison_message_is_one_dead_letter_with_its_bytes(
    client: Client, topics: Topics, topic: str
) -> None:
    """Whoever can write to a topic can only ever write a letter; payments go on."""
    poison = b"\x00\xff poison " + uuid4().bytes
    await topics.produce(topic, poison)
    letters: list[Json] = []

    async def is_parked() -> bool:
        letters[:] = await _letters_of(client, poison)
        return bool(letters)

    await eventually(is_parked, within=30.0)
    payment_id = (await client.pay(await client.account()))["id"]
    await client.ended(payment_id)
    (letter,) = await _letters_of(client, poison)
    assert (letter["topic"], letter["reason"], letter["state"]) == (topic, "undecodable", "parked")
    assert base64.b64decode(letter["key_base64"]) == b"poison"
    published = await topics.from_kafka(
        "payments.dlq", "poison", lambda all_: bool(_about(all_, letter))
    )
    assert len(_about(published, letter)) == 1
    redriven = await client.post(
        f"/api/v1/dead-letters/{letter['id']}/redrive", {"reason": "once more"}
    )
    assert (redriven.status, redriven.body["code"]) == (409, "dead_letter_not_redrivable")
    discarded = await client.post(
        f"/api/v1/dead-letters/{letter['id']}/discard", {"reason": "it is noise"}
    )
    assert (discarded.status, discarded.body["state"]) == (200, "discarded")
    assert await _letters_of(client, poison, state="parked") == []


async def test_lag_is_told_of_every_stage_and_slot(
    client: Client, installation: Installation
) -> None:
    """Over HTTP and on the command line: groups in messages and seconds, slots in bytes."""
    streams = (await client.get("/api/v1/streams")).body
    groups = {each["group"]: each for each in streams["groups"]}
    assert {"payments.charge", "payments.refund", "payments.dead-letters"} <= groups.keys()
    assert {"state", "messages", "seconds", "per_second"} <= groups["payments.charge"].keys()
    slots = {each["slot"]: each for each in streams["slots"]}
    assert {"payments_kafka", "payments_redis"} <= slots.keys()
    assert all(each["active"] for each in slots.values())
    shown = await installation.command("lag")
    assert shown.code == 0, shown.printed
    assert "payments.charge" in shown.printed


async def _letters_of(client: Client, value: bytes, state: str | None = None) -> list[Json]:
    where = "/api/v1/dead-letters?limit=100" + (f"&state={state}" if state else "")
    page = (await client.get(where)).body
    return [each for each in page["data"] if base64.b64decode(each["value_base64"] or "") == value]


def _about(messages: list[Received], letter: Json) -> list[Received]:
    return [
        each
        for each in messages
        if each.type == "dead_letter.parked" and each.data["dead_letter"]["id"] == letter["id"]
    ]
