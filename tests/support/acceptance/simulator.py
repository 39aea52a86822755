"""The providers' own word, and the means to make them fail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import aiohttp

    from tests.support.acceptance.client import Json


@dataclass(frozen=True, slots=True)
class Simulator:
    """The simulator's own API."""

    http: aiohttp.ClientSession

    async def fail(self, kind: str, **how: Json) -> None:
        """Arm a fault; once, unless said."""
        body = {"kind": kind, "times": 1, **how}
        async with self.http.post("/_simulator/faults", json=body) as answer:
            assert answer.status == 201, await answer.text()

    async def heal(self) -> None:
        async with self.http.delete("/_simulator/faults") as answer:
            assert answer.ok

    async def report(self, payment_id: str) -> Json:
        """What it did for a payment; nothing is all zeroes."""
        async with self.http.get(f"/_simulator/payments/{payment_id}") as answer:
            known = (await answer.json())["payments"]
        nothing = dict.fromkeys(("charges", "charged_minor", "refunded_minor", "voids"), 0)
        return known[0] if known else nothing

    async def customers_card(self) -> dict[str, str]:
        """A card that is attached to a customer at Stripe, who alone is charged by it."""
        customer = await self._stripe("customers", email="payer@example.com")
        card = await self._stripe(
            "payment_methods/pm_card_mastercard/attach", customer=customer["id"]
        )
        return {"reference": card["id"], "customer": customer["id"]}

    async def _stripe(self, path: str, **fields: str) -> Json:
        key = {"Authorization": "Bearer sk_test_simulator"}
        async with self.http.post(f"/v1/{path}", data=fields, headers=key) as answer:
            assert answer.ok, await answer.text()
            return await answer.json()
