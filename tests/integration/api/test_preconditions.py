"""A payment may name the account's version it was made for, and a reader the one it has."""

import asyncio
import uuid

import pytest
import redis.asyncio

from process.addresses import RedisAddress
from tests.support.api.ingress import Client, Ingress, Options, Reply, running
from tests.support.api.stage import settle


async def _tag(client: Client, account: str) -> str:
    return (await client.get(f"/api/v1/accounts/{account}")).headers["ETag"]


async def _pay(client: Client, account: str, tag: str, key: str = "") -> Reply:
    body = {
        "payment_type": "external_payment",
        "source_account_id": account,
        "amount": "1.00",
        "currency": "USD",
        "provider": "stripe",
    }
    return await client.post("/api/v1/payments", body, key=key, If_Match=tag)


async def _transfer(client: Client, account: str, to: str, tag: str) -> Reply:
    body = {
        "source_account_id": account,
        "destination_account_id": to,
        "amount": "1.00",
        "currency": "USD",
    }
    return await client.post("/api/v1/transfers", body, If_Match=tag)


async def test_an_account_and_its_balance_are_tagged_with_the_version(client: Client) -> None:
    """Strong, quoted, the same on both, from the answer that opened it on; not on the past."""
    opened = await client.post("/api/v1/accounts", {"user_id": "u", "currency": "USD"})
    assert opened.headers["ETag"] == '"1"'
    account = await client.account()
    for version in (1, 2):
        for path in ("", "/balance"):
            reply = await client.get(f"/api/v1/accounts/{account}{path}")
            assert reply.headers["ETag"] == f'"{version}"'
        await client.pay(account)
    shown = (await client.get(f"/api/v1/accounts/{account}")).json
    assert shown["version"] == 3
    past = f"/api/v1/accounts/{account}/balance?as_of={shown['updated_at']}"
    assert "ETag" not in (await client.get(past)).headers


async def test_who_has_the_version_already_gets_304(client: Client) -> None:
    """No body, the tag again; a version behind, or another tag, is the whole answer."""
    account = await client.account()
    for path in (f"/api/v1/accounts/{account}", f"/api/v1/accounts/{account}/balance"):
        for method in ("GET", "HEAD"):
            for known in ('"1"', 'W/"1"', '"0", "1"', "*"):
                reply = await client.send(method, path, headers={"If-None-Match": known})
                assert (reply.status, reply.body, reply.headers["ETag"]) == (304, b"", '"1"')
                assert "Content-Type" not in reply.headers
                assert reply.headers["X-Request-ID"]
        for unknown in ('"2"', '"01"', '""'):
            reply = await client.send("GET", path, headers={"If-None-Match": unknown})
            assert (reply.status, reply.headers["ETag"]) == (200, '"1"')
        nobody = path.replace(account, str(uuid.uuid4()))
        reply = await client.send("GET", nobody, headers={"If-None-Match": "*"})
        assert (reply.status, reply.code) == (404, "account_not_found")


async def test_a_reader_may_insist_on_a_version(client: Client) -> None:
    """412 with the present tag; what has no tag matches `*` alone."""
    account = await client.account()
    path = f"/api/v1/accounts/{account}"
    for tag, status in (('"1"', 200), ("*", 200), ('W/"1"', 412), ('"2"', 412), ("1", 400)):
        reply = await client.send("GET", path, headers={"If-Match": tag})
        assert reply.status == status, tag
        if status == 412:
            assert (reply.code, reply.headers["ETag"]) == ("precondition_failed", '"1"')
    for tag, status in (('"1"', 412), ("*", 200)):
        reply = await client.send("GET", "/api/v1/payments", headers={"If-Match": tag})
        assert reply.status == status, tag


@pytest.mark.parametrize("kind", ["payment", "transfer"])
async def test_money_leaves_an_account_only_at_the_version_named(client: Client, kind: str) -> None:
    """One of a list, or any; a weak tag never; a refusal says which version it is, and is final."""
    account, other = await client.account(), await client.account()

    async def debit(tag: str) -> Reply:
        if kind == "payment":
            return await _pay(client, account, tag)
        return await _transfer(client, account, other, tag)

    accepted = 202 if kind == "payment" else 201
    for tag in ('"1"', '"7", "2"', ',\t"3",,W/"3" ,', "*"):
        assert (await debit(tag)).status == accepted, tag
    for tag in ('"1"', 'W/"5"', '"6"', '"05"', '"5 "', '""', '"*"', '"' + "9" * 40 + '"'):
        reply = await debit(tag)
        if tag == '"5 "':
            assert (reply.status, reply.code) == (400, "precondition_invalid")
            continue
        assert (reply.status, reply.code) == (412, "precondition_failed"), tag
        assert reply.json["account_version"] == 5
        assert reply.json["retryable"] is False
    assert await _tag(client, account) == '"5"'
    assert (await debit('"5"')).status == accepted


async def test_what_is_no_list_of_tags_is_400(client: Client) -> None:
    """A condition nobody can read is not guessed at, and nothing is done."""
    account = await client.account()
    for sent in ("1", "", '"1', '"1" "2"', '*, "1"', 'w/"1"', "W/1", "'1'", '"a"b"', ","):
        reply = await _pay(client, account, sent)
        assert (reply.status, reply.code) == (400, "precondition_invalid"), sent
    assert await _tag(client, account) == '"1"'


async def test_of_many_who_saw_one_version_one_pays(
    ingress: Ingress, redis_address: RedisAddress
) -> None:
    """Sent at once to two processes, in the same batches or not: one 202, the others are told."""
    client = ingress.client
    account = await client.account()
    async with running(ingress.pool, redis_address, Options()) as other:
        replies = await asyncio.gather(
            *(_pay(each, account, '"1"') for _ in range(20) for each in (client, other.client))
        )
    assert sorted(reply.status for reply in replies) == [202] + [412] * 39
    assert {reply.json["account_version"] for reply in replies if reply.status == 412} == {2}


async def test_a_failed_condition_leaves_the_key_free(client: Client) -> None:
    """It was not performed: look again, try again under the same key, and pay once."""
    account, key = await client.account(), str(uuid.uuid4())
    await client.pay(account, "2.00")
    refused = [await _pay(client, account, '"1"', key) for _ in range(2)]
    assert [reply.status for reply in refused] == [412, 412]
    assert all("Idempotent-Replayed" not in reply.headers for reply in refused)
    assert (await _pay(client, account, await _tag(client, account), key)).status == 202


async def test_a_key_leads_to_its_payment_whatever_version_is_named_now(
    ingress: Ingress, redis_client: redis.asyncio.Redis
) -> None:
    """Who lost the answer and looked again names the version its own payment made: not twice.

    From the cache and, after Redis was emptied, from Postgres.
    """
    client, key = ingress.client, str(uuid.uuid4())
    account = await client.account()
    first = await _pay(client, account, '"1"', key)
    assert first.status == 202
    for tag in ('"1"', '"2"', "*"):
        again = await _pay(client, account, tag, key)
        assert (again.status, again.body) == (202, first.body), tag
        await redis_client.flushdb()
        stored = await _pay(client, account, tag, key)
        assert (stored.status, stored.body) == (202, first.body), tag
        assert stored.headers["Idempotent-Replayed"] == "true"
    assert await _tag(client, account) == '"2"'


async def test_tries_with_one_key_and_several_versions_are_one_payment(client: Client) -> None:
    """Sent at once, those whose version was wrong do not take the key from the one that pays."""
    account, key = await client.account(), str(uuid.uuid4())
    replies = await asyncio.gather(
        *(_pay(client, account, tag, key) for _ in range(10) for tag in ('"9"', '"1"'))
    )
    paid = [reply for reply in replies if reply.status == 202]
    assert {reply.status for reply in replies} <= {202, 412}
    assert len({reply.body for reply in paid}) == 1
    assert await _tag(client, account) == '"2"'


async def test_a_condition_that_nothing_can_meet_stops_the_request(ingress: Ingress) -> None:
    """Where there are no versions, a tag is 412 and changes nothing; anything meets `*`."""
    client = ingress.client
    account = await client.account()
    payment = (await client.pay(account)).text("id")
    completed = (await client.pay(account)).text("id")
    await settle(ingress.committer, completed)
    for path, body, status in (
        ("/api/v1/accounts", {"user_id": "u", "currency": "USD"}, 201),
        (f"/api/v1/payments/{payment}/cancel", {}, 200),
        (f"/api/v1/payments/{completed}/refund", {}, 202),
    ):
        reply = await client.post(path, body, If_Match='"1"')
        assert (reply.status, reply.code) == (412, "precondition_failed"), path
        assert (await client.post(path, body, If_Match="*")).status == status, path


async def test_who_is_refused_for_a_state_is_told_the_state(ingress: Ingress) -> None:
    """Cancel, capture and refund: 409 with `payment_status`; other refusals have no such member."""
    client = ingress.client
    account = await client.account()
    pending = (await client.pay(account)).text("id")
    completed = (await client.pay(account)).text("id")
    await settle(ingress.committer, completed)
    for payment, action, status in (
        (pending, "capture", "pending"),
        (pending, "refund", "pending"),
        (completed, "capture", "completed"),
        (completed, "cancel", "completed"),
    ):
        reply = await client.post(f"/api/v1/payments/{payment}/{action}")
        assert reply.status == 409, action
        assert reply.json["payment_status"] == status
        assert "account_version" not in reply.json
    poor = await client.pay(account, "5000.00")
    assert (poor.status, "payment_status" in poor.json) == (422, False)
