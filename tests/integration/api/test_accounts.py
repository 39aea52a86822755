"""Accounts: balances now and then, statements in pages."""

import asyncio
from datetime import UTC, datetime, timedelta

from payments.outcome import Declined
from tests.support.api.ingress import Client, Ingress
from tests.support.api.stage import settle


async def _transfer(client: Client, source: str, destination: str, amount: str) -> None:
    body = {
        "source_account_id": source,
        "destination_account_id": destination,
        "amount": amount,
        "currency": "USD",
    }
    assert (await client.post("/api/v1/transfers", body)).status == 201


async def _balance(
    client: Client, account: str, as_of: datetime | None = None
) -> tuple[object, ...]:
    asked = f"?as_of={as_of.isoformat().replace('+00:00', 'Z')}" if as_of else ""
    reply = await client.get(f"/api/v1/accounts/{account}/balance{asked}")
    assert reply.status == 200, reply.body
    shown = reply.json
    assert (shown["as_of"] is None) is (as_of is None)
    return shown["balance"], shown["available"], shown["pending"]


async def test_an_account_has_its_currencys_digits(client: Client) -> None:
    """Two decimals for dollars, none for yen, three for dinars."""
    for currency, balance, shown, minor in (
        ("USD", "0", "0.00", 0),
        ("JPY", "1000", "1000", 1000),
        ("KWD", "1.5", "1.500", 1500),
    ):
        account = await client.account(balance, currency)
        reply = (await client.get(f"/api/v1/accounts/{account}")).json
        assert (reply["balance"], reply["balance_minor"]) == (shown, minor)


async def test_a_past_balance_is_what_it_was_then(ingress: Ingress) -> None:
    """As of each past moment the balance, what was available and what was held are exact."""
    client = ingress.client
    account, other = await client.account("100.00"), await client.account("100.00")
    moments = [(datetime.now(UTC), await _balance(client, account))]

    async def remember() -> None:
        moments.append((datetime.now(UTC), await _balance(client, account)))

    await _transfer(client, other, account, "20.00")
    await remember()
    captured = (await client.pay(account, "30.00")).text("id")
    await remember()
    declined = (await client.pay(account, "40.00")).text("id")
    await remember()
    await settle(ingress.committer, captured)
    await remember()
    await settle(ingress.committer, declined, Declined("card_declined", "no"))
    await remember()
    assert [shown for _, shown in moments] == [
        ("100.00", "100.00", "0.00"),
        ("120.00", "120.00", "0.00"),
        ("120.00", "90.00", "30.00"),
        ("120.00", "50.00", "70.00"),
        ("90.00", "50.00", "40.00"),
        ("90.00", "90.00", "0.00"),
    ]
    for moment, shown in moments:
        assert await _balance(client, account, moment) == shown


async def test_a_moment_without_the_account_is_refused(client: Client) -> None:
    """Neither the future nor the time before the account is answered with silence."""
    account = await client.account()
    for moment, reason in (
        ("2999-01-01T00:00:00Z", "must not lie in the future"),
        ("2001-01-01T00:00:00Z", "lies before the account was opened"),
        ("yesterday", "must be a time with its zone"),
    ):
        reply = await client.get(f"/api/v1/accounts/{account}/balance?as_of={moment}")
        assert (reply.status, reply.code) == (422, "invalid_request")
        assert reason in reply.text("detail")


async def test_a_statement_explains_the_balance(ingress: Ingress) -> None:
    """Newest first, each line with the balance after it; holds move nothing and are not there."""
    client = ingress.client
    account, other = await client.account("100.00"), await client.account("100.00")
    await _transfer(client, account, other, "10.00")
    await _transfer(client, other, account, "5.00")
    payment = (await client.pay(account, "30.00")).text("id")
    await settle(ingress.committer, payment)
    await client.pay(account, "1.00")
    page = (await client.get(f"/api/v1/accounts/{account}/transactions")).json
    assert page["next_cursor"] is None
    lines = page["data"]
    assert isinstance(lines, list)
    shown = [
        (each["transaction_type"], each["direction"], each["amount"], each["balance_after"])
        for each in lines
    ]
    assert shown == [
        ("payment", "debit", "30.00", "65.00"),
        ("transfer", "credit", "5.00", "95.00"),
        ("transfer", "debit", "10.00", "90.00"),
        ("opening_balance", "credit", "100.00", "100.00"),
    ]
    assert {each["account_id"] for each in lines} == {account}
    assert lines[0]["payment_id"] == payment
    assert lines[3]["payment_id"] is None


async def test_pages_of_a_statement_are_stable_under_inserts(client: Client) -> None:
    """Lines that arrive while somebody turns the pages neither repeat nor hide one."""
    account, other = await client.account("1000.00"), await client.account()
    for amount in range(1, 8):
        await _transfer(client, account, other, f"{amount}.00")
    seen: list[str] = []
    cursor = ""
    while True:
        path = f"/api/v1/accounts/{account}/transactions?limit=2{cursor}"
        page = (await client.get(path)).json
        assert isinstance(page["data"], list)
        seen += [line["amount"] for line in page["data"]]
        await _transfer(client, account, other, "99.00")
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == ["7.00", "6.00", "5.00", "4.00", "3.00", "2.00", "1.00", "1000.00"]
    reply = await client.get(f"/api/v1/accounts/{other}/transactions?limit=2{cursor}")
    assert reply.status == 422


async def test_twenty_payments_cannot_spend_what_covers_ten(client: Client) -> None:
    """Accepted payments hold their money, so that what is left decides about the next."""
    account = await client.account("100.00")
    replies = await asyncio.gather(*(client.pay(account, "10.00") for _ in range(20)))
    statuses = sorted(reply.status for reply in replies)
    assert statuses == [202] * 10 + [422] * 10
    assert await _balance(client, account) == ("100.00", "0.00", "100.00")


async def test_a_moment_includes_what_was_recorded_at_it(client: Client) -> None:
    """To the microsecond: a transfer counts from its own time on, on both sides."""
    account, other = await client.account("7.00"), await client.account("0")
    await _transfer(client, account, other, "2.00")
    lines = (await client.get(f"/api/v1/accounts/{account}/transactions")).json["data"]
    assert isinstance(lines, list)
    at = datetime.fromisoformat(lines[0]["created_at"])
    just_before = at - timedelta(microseconds=1)
    for holder, before, after in ((account, "7.00", "5.00"), (other, "0.00", "2.00")):
        assert await _balance(client, holder, just_before) == (before, before, "0.00")
        assert await _balance(client, holder, at) == (after, after, "0.00")


async def test_the_opening_moment_is_the_first_that_has_a_balance(client: Client) -> None:
    """A microsecond earlier there was no account."""
    account = await client.account("7.00")
    opened = datetime.fromisoformat(
        (await client.get(f"/api/v1/accounts/{account}")).text("created_at")
    )
    assert await _balance(client, account, opened) == ("7.00", "7.00", "0.00")
    before = (opened - timedelta(microseconds=1)).isoformat().replace("+00:00", "Z")
    reply = await client.get(f"/api/v1/accounts/{account}/balance?as_of={before}")
    assert reply.status == 422
