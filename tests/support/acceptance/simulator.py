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
