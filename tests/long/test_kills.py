"""Each process killed again and again, and everything verified after each."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.test_kills import VICTIMS
from tests.support.acceptance.traffic import traffic

if TYPE_CHECKING:
    from tests.support.acceptance.client import Client
    from tests.support.acceptance.running import Installation

pytestmark = pytest.mark.long

_ROUNDS = 3


@pytest.mark.parametrize("name", VICTIMS)
async def test_a_process_killed_three_times_loses_nothing_and_charges_nobody_twice(
    installation: Installation, client: Client, name: str
) -> None:
    """Whichever it is: what was acknowledged ends, and every invariant holds."""
    if not installation.has(name):
        pytest.skip("not part of this installation")
    async with traffic(installation.url, seed=len(name)) as sent:
        for _ in range(_ROUNDS):
            await asyncio.sleep(1.0)
            await installation.kill(name)
    ended = await sent.all_ended(client, within=120.0)
    assert ended["completed"] + ended["partially_refunded"] > 5
    await installation.assert_sound()
