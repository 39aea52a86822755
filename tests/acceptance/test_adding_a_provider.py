"""docs/ADDING-A-PROVIDER.md, followed to the letter in a copy of the tree, and paid through."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import aiohttp
import pytest

from tests.ablations.copies import Tree, copy_of
from tests.support.acceptance.client import Client, client_of
from tests.support.acceptance.running import Installation
from tests.support.acceptance.simulator import Simulator
from tests.support.project.tree import ROOT, tracked_files

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

_PAGE: Final = ROOT / "docs/ADDING-A-PROVIDER.md"
_FILE: Final = re.compile(r"^`(\S+\.py)`\n\n```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_DIFF: Final = re.compile(r"^```diff\n--- (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def follow(page: str, tree: Path) -> None:
    """Write the page's files, none of which may be there, and make the changes it shows."""
    for name, code in _FILE.findall(page):
        (tree / name).parent.mkdir(exist_ok=True)
        with (tree / name).open("x") as file:
            file.write(code)
    for name, hunks in _DIFF.findall(page):
        text = (tree / name).read_text()
        for hunk in hunks.split("@@\n")[1:]:
            lines = hunk.splitlines(keepends=True)
            before = "".join(line[1:] for line in lines if line[0] != "+")
            after = "".join(line[1:] for line in lines if line[0] != "-")
            assert text.count(before) == 1, f"{name} has not, or not once:\n{before}"
            text = text.replace(before, after)
        (tree / name).write_text(text)


@pytest.fixture
async def with_acme(tmp_path: Path) -> AsyncIterator[Installation]:
    """The platform of a tree in which the page's steps were taken, and no other."""
    with copy_of(Tree(ROOT, tracked_files())) as copy:
        follow(_PAGE.read_text(), copy.tree)
        running = replace(Installation.in_folder(tmp_path), code=copy.tree)
        try:
            await running.start()
            yield running
        finally:
            running.end()


async def test_a_provider_added_by_the_page_is_paid_through(with_acme: Installation) -> None:
    """Charged, declined, found again and refunded; what it does not offer it is not asked."""
    async with (
        client_of(with_acme.url) as client,
        aiohttp.ClientSession(with_acme.record.addresses.simulator) as http,
    ):
        simulator = Simulator(http)
        account = await client.account()
        paid = await _paid(client, account)
        assert (paid["status"], paid["provider"]) == ("completed", "acme")
        assert paid["provider_transaction_id"].startswith("ac_")
        report = await simulator.report(paid["id"])
        assert (report["vendor"], report["charges"], report["charged_minor"]) == ("acme", 1, 5_000)

        await simulator.fail("decline", vendor="acme")
        assert (await _paid(client, account))["last_error_code"] == "refused"

        await simulator.fail("reset_after", vendor="acme", operation="charge")
        found = await _paid(client, account)
        assert found["status"] == "completed"
        assert (await simulator.report(found["id"]))["charges"] == 1

        await client.refunded(found["id"], {"amount": "20.00"})
        assert (await simulator.report(found["id"]))["refunded_minor"] == 2_000

        for more, code in (
            ({"capture_method": "manual"}, "operation_not_supported"),
            ({"currency": "CHF"}, "currency_not_supported"),
            ({"amount": "0.99"}, "amount_not_supported"),
        ):
            francs = await client.account(currency=more.get("currency", "USD"))
            body = {"provider": "acme", "currency": "USD", "amount": "50.00", **more}
            refused = await client.post(
                "/api/v1/payments",
                {"payment_type": "external_payment", "source_account_id": francs, **body},
            )
            assert (refused.status, refused.body["code"]) == (422, code)

        named = (await client.get("/openapi.json")).body["components"]["schemas"]["Provider"]
        assert named["enum"] == ["acme", "stripe", "paypal"]
        reconciled = await with_acme.command("reconcile", "--provider", "acme", "--fetch")
        assert (reconciled.code, "3 movements" in reconciled.printed) == (0, True)
        await with_acme.assert_sound()


async def _paid(client: Client, account: str, **more: str) -> dict[str, str]:
    """An acme payment of 50, once it has ended."""
    accepted = await client.pay(account, **{"provider": "acme", **more})
    ended: dict[str, str] = await client.ended(accepted["id"], within=60.0)
    return ended
