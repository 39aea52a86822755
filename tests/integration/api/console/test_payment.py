"""A payment at the console: all that happened for it, and what is done to it, signed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from payments.outcome import Unknown
from tests.support.api.stage import settle
from tests.support.api.visitor import visiting

if TYPE_CHECKING:
    from tests.support.api.ingress import Ingress
    from tests.support.api.visitor import Visitor


async def completed(ingress: Ingress, description: str = "", **metadata: str) -> str:
    """A payment of 50 dollars that was charged."""
    client = ingress.client
    said = {"description": description, "metadata": metadata} if description else {}
    payment = (await client.pay(await client.account(), "50.00", **said)).text("id")
    await settle(ingress.committer, payment)
    return payment


async def test_a_payment_shows_all_that_happened_for_it(ingress: Ingress, visitor: Visitor) -> None:
    """Changes with their messages, tries, ledger moves, refunds, trace and metadata, as text."""
    hostile = "<script>alert(1)</script>"
    payment = await completed(ingress, hostile, **{hostile: hostile})
    await ingress.client.post(
        f"/api/v1/payments/{payment}/refund", {"amount": "1", "reason": hostile}
    )
    page = await visitor.look(f"/console/payments/{payment}")
    assert page.status == 200
    for said in ("payment.created", "payment.completed", "refund.created", "stripe: charge",
                 "payments.events, position", "posted", "pending", hostile, "Trace"):  # fmt: skip
        assert said in page.text, said
    assert "<script>alert" not in page.html


async def test_a_refund_is_made_once_and_signed(ingress: Ingress, visitor: Visitor) -> None:
    """However often its form is sent; the log says who, why, and what was asked for."""
    payment = await completed(ingress)
    path = f"/console/payments/{payment}/refund"
    form = (await visitor.look(path)).form.fields
    sent = {**form, "amount": "20.00", "reason": "the customer called"}
    for _ in range(2):
        done = await visitor.send(path, sent)
        assert (done.status, done.headers["Location"]) == (
            303, f"/console/payments/{payment}?done=refund_payment",
        )  # fmt: skip
    shown = (await ingress.client.get(f"/api/v1/payments/{payment}")).json
    assert isinstance(shown["refunds"], list)
    assert [refund["amount"] for refund in shown["refunds"]] == ["20.00"]
    data = (await ingress.client.get("/api/v1/audit-log")).json["data"]
    assert isinstance(data, list)
    (entry,) = data
    assert entry["action"] == "refund_payment"
    assert entry["target"] == f"/api/v1/payments/{payment}/refund"
    assert (entry["actor"], entry["via"], entry["outcome"]) == ("open", "console", "done")
    assert (entry["reason"], entry["asked"]["amount"]) == ("the customer called", "20.00")


async def test_what_is_refused_is_said_and_signed_too(ingress: Ingress, visitor: Visitor) -> None:
    """With what was written still in the form; whoever mends it is not held to the first try."""
    payment = await completed(ingress)
    path = f"/console/payments/{payment}/refund"
    refused = await visitor.fill(path, amount="51.00", reason="too much")
    assert refused.status == 422
    assert "51.00" in refused.html
    assert "too much" in refused.text
    again = {**refused.form.fields, "amount": "50.00", "reason": "all of it"}
    assert (await visitor.send(path, again)).status == 303
    data = (await ingress.client.get("/api/v1/audit-log?action=refund_payment")).json["data"]
    assert isinstance(data, list)
    assert [entry["outcome"] for entry in data] == ["done", "refund_exceeds_payment"]


async def test_nothing_is_done_without_a_reason(ingress: Ingress, visitor: Visitor) -> None:
    """Nor with one that is too long; nothing is kept of that."""
    payment = await completed(ingress)
    for reason in ("", "  ", "x" * 501):
        refused = await visitor.fill(f"/console/payments/{payment}/refund", reason=reason)
        assert refused.status == 422, reason
    assert await ingress.pool.fetchval("SELECT count(*) FROM audit_log") == 0
    assert await ingress.pool.fetchval("SELECT count(*) FROM refunds") == 0


async def test_a_form_without_its_key_does_nothing(ingress: Ingress, visitor: Visitor) -> None:
    """Nor with one that no key can be: sent twice it would have two effects."""
    payment = await completed(ingress)
    path = f"/console/payments/{payment}/refund"
    form = (await visitor.look(path)).form.fields
    for key, status in (("", 403), ("a key", 400), ("x" * 256, 400)):
        refused = await visitor.send(path, {**form, "key": key, "reason": "a test"})
        assert refused.status == status, key
    assert await ingress.pool.fetchval("SELECT count(*) FROM refunds") == 0


async def test_each_thing_that_can_be_done_is_done(ingress: Ingress, visitor: Visitor) -> None:
    """Cancelled, captured, resolved: offered where the payment is in a state for it."""
    client = ingress.client
    account = await client.account()
    fresh = (await client.pay(account)).text("id")
    held = (await client.pay(account, capture_method="manual")).text("id")
    await settle(ingress.committer, held)
    doubtful = (await client.pay(account)).text("id")
    await settle(ingress.committer, doubtful, Unknown("timeout", "no answer"))
    for payment, action, fields, status in (
        (fresh, "cancel", {}, "cancelled"),
        (held, "capture", {"amount": "10"}, "authorized"),
        (doubtful, "resolve",
         {"outcome": "succeeded", "amount": "50", "provider_reference": "pi_1234567890abcdef"},
         "completed"),
    ):  # fmt: skip
        path = f"/console/payments/{payment}/{action}"
        assert path in (await visitor.look(f"/console/payments/{payment}")).links
        done = await visitor.fill(path, reason="a test", **fields)
        assert done.status == 303, done.text
        assert (await client.get(f"/api/v1/payments/{payment}")).text("status") == status
    actions = await ingress.pool.fetch("SELECT action FROM audit_log ORDER BY id")
    assert [row["action"] for row in actions] == [
        "cancel_payment", "capture_payment", "resolve_payment",
    ]  # fmt: skip


async def test_another_tenants_payment_is_not_there(guarded: Ingress) -> None:
    """Neither its page, nor its forms, nor by whatever names it."""
    acme = await guarded.tenant("acme")
    payment = (await acme.pay(await acme.account(), key="theirs")).text("id")
    async with visiting(guarded) as stranger:
        await stranger.sign_in(await guarded.key("other"))
        for path in (f"payments/{payment}", f"payments/{payment}/refund",
                     f"search?q={payment}", "search?q=theirs"):  # fmt: skip
            assert (await stranger.look(f"/console/{path}")).status == 404, path


async def test_what_ops_do_over_the_api_is_signed_as_well(ingress: Ingress) -> None:
    """With the body's reason; what clients do every day is not."""
    client = ingress.client
    payment = (await client.pay(await client.account())).text("id")
    await settle(ingress.committer, payment, Unknown("timeout", "no answer"))
    body = {"outcome": "failed", "reason": "looked it up"}
    await client.post(f"/api/v1/payments/{payment}/resolve", body)
    await client.post(f"/api/v1/payments/{payment}/resolve", body)
    data = (await client.get("/api/v1/audit-log")).json["data"]
    assert isinstance(data, list)
    assert [(each["via"], each["reason"], each["outcome"]) for each in data] == [
        ("api", "looked it up", "payment_not_resolvable"),
        ("api", "looked it up", "done"),
    ]
