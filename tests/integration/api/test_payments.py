"""Payments: shown, listed, waited for, cancelled, captured, refunded."""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from uuid import UUID

from payments.account import TURNOVER_MINOR_MAX
from payments.outcome import Declined
from tests.support.api.ingress import Client, Ingress, Reply
from tests.support.api.stage import settle, settle_refund


async def _pages(client: Client, query: str) -> list[str]:
    """The ids of all pages of a list."""
    ids: list[str] = []
    cursor = ""
    while True:
        page = (await client.get(f"/api/v1/payments?{query}{cursor}")).json
        assert isinstance(page["data"], list)
        ids += [payment["id"] for payment in page["data"]]
        if page["next_cursor"] is None:
            return ids
        cursor = f"&cursor={page['next_cursor']}"


async def _refunded(client: Client, payment: str, body: dict[str, object]) -> Reply:
    return await client.post(f"/api/v1/payments/{payment}/refund", body)


async def test_a_payment_is_shown_with_all_that_happened(ingress: Ingress) -> None:
    """Attempts, refunds and, when asked for, the history with the numbers of public events."""
    client = ingress.client
    payment = (await client.pay(await client.account())).text("id")
    await settle(ingress.committer, payment)
    refund = (await _refunded(client, payment, {"amount": 20, "reason": "too big"})).text("id")
    await settle_refund(ingress.committer, refund)
    shown = (await client.get(f"/api/v1/payments/{payment}?expand=events")).json
    assert (shown["status"], shown["refunded"], shown["refundable"]) == (
        "partially_refunded",
        "20.00",
        "30.00",
    )
    assert shown["provider_transaction_id"] == "pi_1"
    attempts, refunds, events = shown["attempts"], shown["refunds"], shown["events"]
    assert isinstance(attempts, list)
    assert isinstance(refunds, list)
    assert isinstance(events, list)
    assert [(each["operation"], each["outcome"]) for each in attempts] == [
        ("charge", "succeeded"),
        ("refund", "succeeded"),
    ]
    assert [(each["id"], each["amount"], each["reason"]) for each in refunds] == [
        (refund, "20.00", "too big")
    ]
    assert [(each["type"], each["sequence"]) for each in events] == [
        ("payment.created", 1),
        ("payment.attempt_started", None),
        ("payment.completed", 2),
        ("refund.created", 3),
        ("refund.completed", 4),
    ]
    assert [each["version"] for each in events] == [1, 2, 3, 4, 5]
    assert events[0]["data"]["payment"]["status"] == "pending"
    assert (await client.get(f"/api/v1/payments/{payment}")).json["events"] is None


async def test_a_failed_payment_says_why(ingress: Ingress) -> None:
    """The provider's code and words are on the payment."""
    payment = (await ingress.client.pay(await ingress.client.account())).text("id")
    await settle(ingress.committer, payment, Declined("insufficient_funds", "The card is empty."))
    shown = (await ingress.client.get(f"/api/v1/payments/{payment}")).json
    assert (shown["status"], shown["last_error"], shown["last_error_code"]) == (
        "failed",
        "The card is empty.",
        "insufficient_funds",
    )


async def test_payments_are_listed_by_any_filter(ingress: Ingress) -> None:
    """Each filter alone and together, and pages of any size show the same payments."""
    client = ingress.client
    dollars, euros = await client.account(), await client.account("900", "EUR")
    first = (await client.pay(dollars)).text("id")
    between = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    second = (await client.pay(dollars, provider="paypal")).text("id")
    third = (await client.pay(euros, currency="EUR")).text("id")
    other = await client.account()
    body = {
        "source_account_id": other,
        "destination_account_id": dollars,
        "amount": 5,
        "currency": "USD",
    }
    fourth = (await client.post("/api/v1/transfers", body)).text("id")
    everything = [fourth, third, second, first]
    filters = {
        "": everything,
        "status=pending": [third, second, first],
        "status=completed": [fourth],
        "provider=paypal": [second],
        "currency=EUR": [third],
        f"account_id={dollars}": [fourth, second, first],
        f"account_id={other}": [fourth],
        f"account_id={dollars}&status=pending&provider=stripe": [first],
        f"created[gte]={between}": [fourth, third, second],
        f"created[lt]={between}": [first],
        f"account_id={dollars}&created[gte]={between}": [fourth, second],
        f"account_id={uuid.uuid4()}": [],
    }
    for query, expected in filters.items():
        for limit in (1, 3, 100):
            assert await _pages(client, f"limit={limit}&{query}".rstrip("&")) == expected, query


async def test_pages_are_stable_while_payments_arrive(client: Client) -> None:
    """Each payment that was there is seen once; those that came later are not."""
    account = await client.account()
    there = [(await client.pay(account, "1")).text("id") for _ in range(7)]
    seen: list[str] = []
    cursor = ""
    while True:
        page = (await client.get(f"/api/v1/payments?limit=3{cursor}")).json
        assert isinstance(page["data"], list)
        seen += [payment["id"] for payment in page["data"]]
        await client.pay(account, "1")
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == there[::-1]


async def test_a_cursor_goes_with_its_filters(client: Client) -> None:
    """A cursor of another list is the client's mistake."""
    account = await client.account()
    for _ in range(2):
        await client.pay(account, "1")
    cursor = (await client.get("/api/v1/payments?limit=1")).json["next_cursor"]
    assert (await client.get(f"/api/v1/payments?limit=2&cursor={cursor}")).status == 200
    reply = await client.get(f"/api/v1/payments?limit=1&status=pending&cursor={cursor}")
    assert reply.status == 422


async def test_a_payment_no_provider_was_asked_about_is_cancelled(client: Client) -> None:
    """Once; its money is free at once, and a second cancel is told the present state."""
    account = await client.account()
    payment = (await client.pay(account)).text("id")
    reply = await client.post(f"/api/v1/payments/{payment}/cancel", key=None)
    assert (reply.status, reply.text("status")) == (200, "cancelled")
    assert (await client.get(f"/api/v1/accounts/{account}")).text("available") == "1000.00"
    again = await client.post(f"/api/v1/payments/{payment}/cancel", {}, key=None)
    assert (again.status, again.code) == (409, "payment_not_cancellable")
    assert "is cancelled" in again.text("detail")


async def test_an_authorized_payment_is_captured_in_part(ingress: Ingress) -> None:
    """With manual capture: 202 for less than was authorized, 422 for more, 409 the second time."""
    client = ingress.client
    account = await client.account()
    payment = (await client.pay(account, capture_method="manual")).text("id")
    path = f"/api/v1/payments/{payment}/capture"
    early = await client.post(path, {})
    assert (early.status, early.code) == (409, "payment_not_capturable")
    authorized = await settle(ingress.committer, payment)
    assert authorized.status.value == "authorized"
    reply = await client.get(f"/api/v1/payments/{payment}")
    until = datetime.fromisoformat(reply.text("authorization_expires_at"))
    assert until == authorized.updated_at + timedelta(days=7)
    more = await client.post(path, {"amount": "50.01"})
    assert (more.status, more.code) == (422, "capture_exceeds_authorization")
    for amount in ("0", "1.001"):
        assert (await client.post(path, {"amount": amount})).code == "invalid_request"
    reply = await client.post(path, {"amount": "30.00"})
    assert reply.status == 202
    assert (await client.post(path)).code == "payment_not_capturable"
    await settle(ingress.committer, payment, attempt=2)
    shown = (await client.get(f"/api/v1/payments/{payment}")).json
    assert (shown["status"], shown["captured"]) == ("completed", "30.00")
    assert (await client.get(f"/api/v1/accounts/{account}")).text("balance") == "970.00"


async def test_refunds_never_exceed_what_was_captured(ingress: Ingress) -> None:
    """Eight at once for two fifths: two are accepted; with the rest they are the whole."""
    client = ingress.client
    account = await client.account()
    payment = (await client.pay(account, "50.00")).text("id")
    early = await _refunded(client, payment, {})
    assert (early.status, early.code) == (409, "payment_not_refundable")
    await settle(ingress.committer, payment)
    part: dict[str, object] = {"amount": "20.00"}
    replies = await asyncio.gather(*(_refunded(client, payment, part) for _ in range(8)))
    assert sorted(reply.status for reply in replies) == [202] * 2 + [422] * 6
    rest = await _refunded(client, payment, {})
    assert rest.headers["Location"] == f"/api/v1/refunds/{rest.text('id')}"
    shown = (await client.get(rest.headers["Location"])).json
    assert (shown["status"], shown["amount"]) == ("pending", "10.00")
    assert (await _refunded(client, payment, part)).code == "refund_exceeds_payment"
    for each in (*replies, rest):
        if each.status == 202:
            await settle_refund(ingress.committer, each.text("id"))
    assert (await client.get(f"/api/v1/payments/{payment}")).text("status") == "refunded"
    assert (await client.get(f"/api/v1/accounts/{account}")).text("balance") == "1000.00"


async def test_a_transfer_is_refunded_at_once_in_its_currencys_digits(client: Client) -> None:
    """201; an amount is read in the payment's own currency."""
    source, destination = await client.account("9.000", "KWD"), await client.account("0", "KWD")
    body = {
        "source_account_id": source,
        "destination_account_id": destination,
        "amount": "5.000",
        "currency": "KWD",
    }
    payment = (await client.post("/api/v1/transfers", body)).text("id")
    too_fine = await _refunded(client, payment, {"amount": "1.2345"})
    assert (too_fine.status, too_fine.code) == (422, "invalid_request")
    reply = await _refunded(client, payment, {"amount": "1.234"})
    assert (reply.status, reply.text("status"), reply.text("amount")) == (201, "completed", "1.234")
    too_much = await _refunded(client, payment, {"amount": "3.767"})
    assert (too_much.status, too_much.code) == (422, "refund_exceeds_payment")
    assert (await client.get(f"/api/v1/accounts/{source}")).text("balance") == "5.234"


async def test_no_payment_crosses_currencies(client: Client) -> None:
    """Nothing is converted silently."""
    account = await client.account()
    for currency in ("EUR", "JPY"):
        reply = await client.pay(account, "5", currency=currency)
        assert (reply.status, reply.code) == (422, "currency_mismatch")


async def test_an_account_that_has_moved_too_much_is_refused_and_not_a_failure(
    ingress: Ingress,
) -> None:
    """Past what its columns are sure to hold: no to new payments, while the rest goes on."""
    client = ingress.client
    worn, fresh = await client.account(), await client.account()
    payment = (await client.pay(worn)).text("id")
    await ingress.pool.execute(
        "UPDATE accounts SET credits_posted = credits_posted + $2, debits_posted = $2"
        " WHERE id = $1",
        UUID(worn),
        TURNOVER_MINOR_MAX,
    )
    body = {"amount": 5, "currency": "USD"}
    for one, other in ((worn, fresh), (fresh, worn)):
        between = {"source_account_id": one, "destination_account_id": other}
        reply = await client.post("/api/v1/transfers", body | between)
        assert (reply.status, reply.code) == (422, "account_turnover_exceeded")
    assert (await client.pay(worn)).code == "account_turnover_exceeded"
    await settle(ingress.committer, payment)
    refund = (await _refunded(client, payment, {})).text("id")
    await settle_refund(ingress.committer, refund)
    assert (await client.get(f"/api/v1/accounts/{worn}")).text("balance") == "1000.00"


async def test_what_is_not_there_is_404_also_in_a_body(client: Client) -> None:
    """An unknown account or payment, with a code that says which."""
    nowhere = str(uuid.uuid4())
    assert (await client.pay(nowhere)).code == "account_not_found"
    for action, body in (("refund", {"amount": "1"}), ("capture", {"amount": "1"}), ("cancel", {})):
        reply = await client.post(f"/api/v1/payments/{nowhere}/{action}", body)
        assert (reply.status, reply.code) == (404, "payment_not_found")
