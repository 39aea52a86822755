"""Ctrl-C drains, and a second start goes on where the first one stopped."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from local.supervisor import ProcessState
from tests.support.acceptance.client import client_of
from tests.support.acceptance.traffic import traffic

if TYPE_CHECKING:
    from tests.support.acceptance.running import Installation


async def test_an_interrupted_platform_drains_and_goes_on_after_its_next_start(
    installation: Installation,
) -> None:
    """Exit code 0 under traffic, nothing lost, everything there again and sound."""
    async with client_of(installation.url) as client:
        account = await client.account("123.45")
    async with traffic(installation.url, seed=1) as sent:
        await asyncio.sleep(1.0)
        assert await installation.interrupt() == 0
        assert "Everything has drained and stopped." in installation.printed
        assert (await installation.command("status")).code == 3
        await installation.start()
        assert {each.state for each in installation.record.processes} == {ProcessState.READY}
        await asyncio.sleep(1.0)
    async with client_of(installation.url) as client:
        await sent.all_ended(client, within=90.0)
        assert await client.balance(account) == ("123.45", "123.45")
    await installation.assert_sound()
