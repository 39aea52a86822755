"""Every page in a real browser: nothing from elsewhere, usable by everybody, fit for a phone."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from payments.commands import ParkMessage
from payments.dead_letter import DeadLetter, DeadLetterReason, SourceMessage
from payments.outcome import Declined, Unknown
from store.write.group_commit import Submission
from tests.support.api.possessions import possessions
from tests.support.api.stage import settle
from tests.support.browser import browsing
from tests.support.factories import TENANT

if TYPE_CHECKING:
    from tests.support.api.ingress import Ingress
    from tests.support.browser import Watched

pytestmark = pytest.mark.browser

_VALUE = b'{"payment_id": "no id at all", "note": "<script>alert(1)</script>"}'


async def _busy_day(ingress: Ingress, account: str) -> dict[str, str]:
    """Some payments in each state, and a letter of a message nobody could process."""
    client, made = ingress.client, {}
    for number in range(24):
        payment = (
            await client.pay(
                account, f"{number + 1}.50", description=f"Order {1000 + number}",
                metadata={"order": number},
            )
        ).text("id")  # fmt: skip
        match number % 6:
            case 0:
                made["pending"] = payment
            case 4:
                await settle(ingress.committer, payment, Declined("card_declined", "no funds"))
            case 5:
                await settle(ingress.committer, payment, Unknown("timeout", "no answer in 10 s"))
                made["unknown"] = payment
            case _:
                await settle(ingress.committer, payment)
                made["completed"] = payment
    held = await client.pay(account, "80", capture_method="manual")
    await settle(ingress.committer, held.text("id"))
    made["authorized"] = held.text("id")
    source = SourceMessage(
        "payments.charges", 3, 4711, b"\x00\x01key", _VALUE, {"ce_type": "charge.requested"}
    )
    park = ParkMessage(
        uuid.uuid4(), TENANT, "charge", DeadLetterReason.HANDLER_ERROR, "KeyError: 'amount'", source
    )
    letter = (await ingress.committer.submit(Submission(park))).result
    assert isinstance(letter, DeadLetter)
    made["letter"] = str(letter.id)
    return made


async def test_every_page_is_fit_for_everybody(ingress: Ingress) -> None:
    """No word in its console, no request to elsewhere, no finding of axe, no wider than a phone."""
    owned = await possessions(ingress, ingress.client, TENANT)
    made = await _busy_day(ingress, owned.account)
    await ingress.client.post(
        f"/api/v1/payments/{made['completed']}/refund", {"amount": "1", "reason": "late"}
    )
    endpoint = f"/console/webhook-endpoints/{owned.endpoint}"
    async with browsing(ingress.client.address) as browser:
        await _acts(browser, made["completed"])
        for name, path in {
            "overview": "/console",
            "overview-15m": "/console?span=15m",
            "payments": "/console/payments",
            "payments-filtered": "/console/payments?status=failed&amount=5.50&currency=USD",
            "nothing-found": "/console/search?q=nobody",
            "payment": f"/console/payments/{made['completed']}",
            "payment-unknown": f"/console/payments/{made['unknown']}",
            "refund": f"/console/payments/{made['completed']}/refund",
            "capture": f"/console/payments/{made['authorized']}/capture",
            "cancel": f"/console/payments/{made['pending']}/cancel",
            "resolve": f"/console/payments/{made['unknown']}/resolve",
            "accounts": "/console/accounts",
            "account": f"/console/accounts/{owned.account}",
            "streams": "/console/streams",
            "dead-letters": "/console/dead-letters",
            "dead-letter": f"/console/dead-letters/{made['letter']}",
            "redrive": f"/console/dead-letters/{made['letter']}/redrive",
            "webhooks": "/console/webhook-endpoints",
            "webhook-endpoint-new": "/console/webhook-endpoints/new",
            "webhook-endpoint": endpoint,
            "webhook-delivery": f"{endpoint}/deliveries/{owned.delivery}",
            "rotate-secret": f"{endpoint}/rotate-secret",
            "providers": "/console/providers",
            "books": "/console/books",
            "audit-log": "/console/audit-log",
        }.items():
            await browser.open(path)
            browser.said = [each for each in browser.said if "404" not in each]
            await browser.judge(name)


async def _acts(browser: Watched, payment: str) -> None:
    """One thing that is done, so that there is one to be seen."""
    await browser.open(f"/console/payments/{payment}/refund")
    await browser.page.get_by_label("Amount").fill("1.00")
    await browser.page.get_by_label("Reason").fill("the customer called")
    await browser.page.get_by_role("button", name="Refund").click()
    await browser.page.locator(".flash").wait_for()


async def test_signing_in_is_fit_for_everybody(guarded: Ingress) -> None:
    """The page, its refusal, and a problem's page."""
    async with browsing(guarded.client.address) as browser:
        await browser.open("/console")
        await browser.judge("sign-in")
        await browser.page.get_by_label("API key").fill(await guarded.key("acme", "payments:read"))
        await browser.page.get_by_role("button", name="Sign in").click()
        await browser.page.get_by_role("heading", name="Overview").wait_for()
        await browser.open("/console/audit-log")
        browser.said = [each for each in browser.said if "403" not in each]
        await browser.judge("forbidden")
