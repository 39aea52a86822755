"""Kill -9 of any process under traffic: no acknowledged payment is lost, none is charged twice."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.traffic import traffic

if TYPE_CHECKING:
    from tests.acceptance.client import Client
    from tests.acceptance.installation import Installation

OURS = (
    "ingress",
    "relay-kafka",
    "relay-redis",
    "charge",
    "refund",
    "schedule",
    "dead-letters",
    "simulator",
)
SERVERS = ("postgres", "valkey")
BROKER = ("noida-db", "kafka")
IS_APACHE = os.environ.get("PAYMENTS_TEST_KAFKA") == "apache"
# Enough for something to be in every stage when the blow falls.
_BEFORE_S = 1.0


@pytest.mark.parametrize("name", [*OURS, *SERVERS, *(() if IS_APACHE else BROKER)])
async def test_a_killed_process_loses_nothing_and_charges_nobody_twice(
    installation: Installation, client: Client, name: str
) -> None:
    """Killed in the middle of traffic and started again by its supervisor; then all is sound."""
    async with traffic(installation.url, seed=len(name)) as sent:
        await asyncio.sleep(_BEFORE_S)
        await installation.kill(name)
        await asyncio.sleep(_BEFORE_S)
    ended = await sent.all_ended(client, within=90.0)
    assert ended["completed"] + ended["partially_refunded"] > 5
    codes = {each["code"] for each in sent.refused}
    assert codes <= {"payment_not_refundable", "refund_exceeds_payment", "insufficient_funds"}
    await installation.assert_sound()
