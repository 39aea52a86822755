"""The console as an operator uses it, in a real browser, over the whole platform."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import orjson
import pytest
from aiokafka import AIOKafkaProducer
from playwright.async_api import expect

from tests.support.browser import browsing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Page

    from tests.support.acceptance.client import Client
    from tests.support.acceptance.consumers import Topics
    from tests.support.acceptance.running import Installation
    from tests.support.browser import Watched

pytestmark = pytest.mark.browser

# What an operator is promised: a stage that stands is told of by then.
_TOLD_WITHIN_MS: Final = 30_000
_SOON_MS: Final = 25_000


@pytest.fixture
async def watched(installation: Installation) -> AsyncIterator[Watched]:
    async with browsing(installation.url) as opened:
        yield opened


async def test_a_payment_is_followed_to_its_end_and_given_back(
    client: Client, watched: Watched
) -> None:
    """Found by its key, seen completed without a reload, refunded, and seen refunded."""
    page, key = watched.page, str(uuid4())
    account = await client.account()
    body = {
        "payment_type": "external_payment", "source_account_id": account, "amount": "50.00",
        "currency": "USD", "provider": "stripe",
    }  # fmt: skip
    accepted = (await client.post("/api/v1/payments", body, key=key)).body
    await watched.open("/console")
    await page.get_by_role("link", name="Payments", exact=True).last.click()
    await page.get_by_label("Find").fill(key)
    await page.get_by_role("button", name="Find").click()
    await page.wait_for_url(f"**/console/payments/{accepted['id']}")
    await expect(page.locator("#head .badge")).to_have_text("Completed", timeout=_SOON_MS)
    await expect(page.locator("#timeline")).to_contain_text("stripe: charge", timeout=_SOON_MS)
    await watched.judge("flow-payment")
    await page.get_by_role("link", name="Refund").click()
    await _signed(page, "Refund", "the customer called")
    await expect(page.locator("#head .badge")).to_have_text("Refunded", timeout=_SOON_MS)
    await expect(page.locator("#ledger")).to_contain_text("Refund")
    await watched.judge("flow-refunded")


async def test_a_stage_that_stands_is_told_of_with_why(
    client: Client, installation: Installation, watched: Watched
) -> None:
    """Within half a minute, by a page that was open before; and that it goes on again."""
    await watched.open("/console/streams")
    charge = watched.page.locator("#groups tr", has_text="payments.charge")
    await expect(charge.locator(".badge")).to_have_text("Ok", timeout=_SOON_MS)
    installation.freeze("charge")
    try:
        account = await client.account()
        for _ in range(3):
            await client.pay(account)
        stands = re.compile("Stopped|Stalled")
        await expect(charge.locator(".badge")).to_have_text(stands, timeout=_TOLD_WITHIN_MS)
        why = watched.page.locator("#groups .notice", has_text="payments.charge")
        await expect(why).to_contain_text("worker", timeout=_SOON_MS)
        await watched.judge("flow-stage-stands")
    finally:
        installation.thaw("charge")
    await expect(charge.locator(".badge")).to_have_text("Ok", timeout=2 * _TOLD_WITHIN_MS)


async def test_poison_is_looked_at_and_tried_again(topics: Topics, watched: Watched) -> None:
    """Its bytes are shown, a redrive is rehearsed, done, and stands in the audit log."""
    page, nobody = watched.page, str(uuid4())
    await _poison(topics, nobody)
    await watched.open("/console/dead-letters")
    letter = page.locator("#letters tr", has_text="Unknown subject").first
    await expect(letter).to_be_visible(timeout=_SOON_MS)
    await letter.get_by_role("link").click()
    await expect(page.locator("pre", has_text="payment_id").first).to_be_visible()
    await watched.judge("flow-letter")
    await page.get_by_role("link", name="Redrive").click()
    await expect(page.get_by_role("status")).to_contain_text("would be tried again")
    await _signed(page, "Redrive", "the payment is there by now")
    await expect(page.locator("#head .badge")).to_have_text("Redriven", timeout=_SOON_MS)
    await page.get_by_role("link", name="audit log", exact=True).click()
    await expect(page.locator("#entries tbody tr").first).to_contain_text("Redrive dead letter")
    await watched.judge("flow-audit-log")


async def test_a_webhook_secret_is_rolled_and_shown_once(client: Client, watched: Watched) -> None:
    """The page that has it is the answer to the form, and no other has it."""
    page = watched.page
    hook = {"url": "https://shop.example/webhooks", "description": "The shop"}
    endpoint = (await client.post("/api/v1/webhook-endpoints", hook)).body
    await watched.open(f"/console/webhook-endpoints/{endpoint['id']}")
    await page.get_by_role("link", name="Rotate secret").click()
    await _signed(page, "Rotate secret", "it was in a chat")
    secret = await page.locator("#secret").inner_text()
    assert secret.startswith("whsec_")
    assert secret != endpoint["secret"]
    await page.get_by_role("link", name="Back", exact=True).click()
    assert secret not in await page.content()
    await expect(page.locator("#facts")).to_contain_text("number 2")
    await watched.judge("flow-webhook")


async def _signed(page: Page, button: str, reason: str) -> None:
    await page.get_by_label("Reason").fill(reason)
    await page.get_by_role("button", name=button).click()


async def _poison(topics: Topics, payment_id: str) -> None:
    """Work for a payment that there is not, as only somebody else could write it."""
    value = orjson.dumps({"payment_id": payment_id, "attempt": 1})
    named = {
        "ce_id": str(uuid4()), "ce_type": "charge.requested", "ce_source": "/payments",
        "ce_specversion": "1.0", "ce_time": "2026-01-01T00:00:00Z", "ce_subject": payment_id,
        "ce_tenantid": "default",
    }  # fmt: skip
    headers = [(name, text.encode()) for name, text in named.items()]
    async with AIOKafkaProducer(bootstrap_servers=topics.kafka) as producer:
        await producer.send_and_wait(
            "payments.charges", value, payment_id.encode(), headers=headers
        )
