"""Compares our payments with the provider's own journal: what the simulator says it did.

Only effects count: money reserved, taken, given back. What differs is looked at again,
because a payment may have gone on between the two readings.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import UUID

import orjson

from payments.payment import CAPTURED, PaymentStatus
from verify.database import expected_charges
from verify.invariants import CheckResult, Violation

if TYPE_CHECKING:
    from collections.abc import Mapping

    import aiohttp

    from verify.database import Connection, ExpectedCharge

# The journal's names of what moves money; authorizations and voids move none.
_TAKEN: Final = ("charged", "captured")
_GIVEN_BACK: Final = "refunded"
_PAGE: Final = 20_000
_ENDED_WITHOUT: Final = frozenset({PaymentStatus.FAILED, PaymentStatus.CANCELLED})
_LOOKS: Final = 3
_BETWEEN_LOOKS_S: Final = 1.0


@dataclass(slots=True)
class ProviderEffects:
    """What the provider did for one payment, in minor units."""

    currency: str
    charges: int = 0
    charged_minor: int = 0
    refunded_minor: int = 0


async def check_charges(
    connection: Connection, journal: ProviderJournal, known: Mapping[UUID, ExpectedCharge]
) -> CheckResult:
    """Compare until what is left has been different several times. Raises aiohttp's errors."""
    effects = await journal.effects()
    suspects = _suspects(known, effects)
    for _ in range(_LOOKS):
        if not suspects:
            break
        await asyncio.sleep(_BETWEEN_LOOKS_S)
        again = [*suspects]
        now = await expected_charges(connection, again)
        effects = await journal.effects()
        after = await expected_charges(connection, again)
        still = {each: now[each] for each in again if each in now and now[each] == after[each]}
        suspects = _suspects(still, {each: effects[each] for each in again if each in effects})
    violations = tuple(Violation(f"payment {each}", what) for each, what in suspects.items())
    return CheckResult("I4", "provider", len(known), violations)


def _suspects(
    known: Mapping[UUID, ExpectedCharge], effects: Mapping[UUID, ProviderEffects]
) -> dict[UUID, str]:
    """What seems wrong, by payment."""
    nothing = ProviderEffects("")
    found = {
        each: disagreement(charge, effects.get(each, nothing)) for each, charge in known.items()
    }
    unmatched = effects.keys() - known.keys()
    unknown = dict.fromkeys(unmatched, "the provider charged for it, and it does not exist")
    return {each: what for each, what in found.items() if what} | unknown


def disagreement(charge: ExpectedCharge, done: ProviderEffects) -> str | None:
    """What a payment and the provider's effects contradict each other in."""
    if done.charges > 1:
        return f"was charged {done.charges} times, {done.charged_minor} in all"
    if done.charges and done.currency != charge.currency:
        return f"is in {charge.currency} and was charged in {done.currency}"
    if charge.status in CAPTURED and done.charged_minor != charge.captured_minor:
        return f"is {charge.status} of {charge.captured_minor}, charged {done.charged_minor}"
    kept = done.charged_minor - done.refunded_minor
    if charge.status in _ENDED_WITHOUT and kept:
        return f"is {charge.status}, and the provider has {kept}"
    if charge.status in CAPTURED:
        return _refunds_disagree(charge, done)
    return None


def _refunds_disagree(charge: ExpectedCharge, done: ProviderEffects) -> str | None:
    low, promised = charge.refunded_minor, charge.refund_pending_minor
    if low <= done.refunded_minor <= low + promised:
        return None
    return (
        f"has {low} refunded and {promised} promised, the provider gave back {done.refunded_minor}"
    )


@dataclass(frozen=True, slots=True)
class ProviderJournal:
    """The simulator's journal at an address."""

    http: aiohttp.ClientSession
    address: str

    async def effects(self) -> dict[UUID, ProviderEffects]:
        """Every effect so far, by payment."""
        found: dict[UUID, ProviderEffects] = {}
        for effect in (*_TAKEN, _GIVEN_BACK):
            after: int | None = 0
            while after is not None:
                after = await self._page(effect, after, found)
        return found

    async def _page(
        self, effect: str, after: int, found: dict[UUID, ProviderEffects]
    ) -> int | None:
        parameters = {"effect": effect, "after": str(after), "limit": str(_PAGE)}
        url = f"{self.address}/_simulator/journal"
        async with self.http.get(url, params=parameters, raise_for_status=True) as answer:
            page = orjson.loads(await answer.read())
        for entry in page["entries"]:
            done = found.setdefault(
                _payment_of(entry["payment_id"]), ProviderEffects(entry["currency"])
            )
            if effect == _GIVEN_BACK:
                done.refunded_minor += entry["amount_minor"]
            else:
                done.charges += 1
                done.charged_minor += entry["amount_minor"]
        following: int | None = page["next"]
        return following


def _payment_of(said: str | None) -> UUID:
    """Whatever names no payment of ours counts as one that does not exist."""
    try:
        return UUID(said or "")
    except ValueError:
        return UUID(int=0)
