"""Compares our payments with the provider's own journal: what the simulator says it did.

Only effects count: money reserved, taken, given back, withdrawn. What differs is looked at again,
because a payment may have gone on between the two readings. What an open dead letter or break
names may differ: somebody has been told. That it was charged twice may not.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias
from uuid import UUID

import orjson

from payments.payment import CAPTURED, PaymentStatus
from verify.database import expected_charges
from verify.invariants import CheckResult, Violation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import aiohttp

    from verify.database import Connection, ExpectedCharge

_PAGE: Final = 5_000
_ENDED_WITHOUT: Final = frozenset({PaymentStatus.FAILED, PaymentStatus.CANCELLED})
_LOOKS: Final = 3
_BETWEEN_LOOKS_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class ProviderEffects:
    """What the provider did for one payment, in minor units.

    `held_minor` is reserved now, `withdrawn_minor` taken from us for disputes and reversals.
    `is_in_parts`: what was taken are parts of one authorization.
    """

    currency: str
    charges: int = 0
    charged_minor: int = 0
    refunded_minor: int = 0
    withdrawn_minor: int = 0
    held_minor: int = 0
    is_in_parts: bool = False

    @property
    def kept_minor(self) -> int:
        """What we have of it there."""
        return self.charged_minor - self.refunded_minor - self.withdrawn_minor


async def check_charges(
    connection: Connection, journal: ProviderJournal, known: Mapping[UUID, ExpectedCharge]
) -> list[CheckResult]:
    """Compare until what is left has been different several times. Raises aiohttp's errors."""
    effects = await journal.effects()
    suspects = {each: _suspects(judge, known, effects) for each, judge in JUDGES.items()}
    for _ in range(_LOOKS):
        again = [*{each for found in suspects.values() for each in found}]
        if not again:
            break
        await asyncio.sleep(_BETWEEN_LOOKS_S)
        now = await expected_charges(connection, again)
        effects = await journal.effects()
        after = await expected_charges(connection, again)
        still = {each: now[each] for each in again if each in now and now[each] == after[each]}
        theirs = {each: effects[each] for each in again if each in effects}
        suspects = {each: _suspects(judge, still, theirs) for each, judge in JUDGES.items()}
    return [
        CheckResult(
            each,
            "provider",
            len(known),
            tuple(Violation(f"payment {payment}", what) for payment, what in found.items()),
        )
        for each, found in suspects.items()
    ]


def _suspects(
    judge: Judge,
    known: Mapping[UUID, ExpectedCharge],
    effects: Mapping[UUID, ProviderEffects],
) -> dict[UUID, str]:
    """What seems wrong, by payment."""
    nothing = ProviderEffects("")
    found = {each: judge(charge, effects.get(each, nothing)) for each, charge in known.items()}
    strangers = (each for each in effects if each not in known and effects[each].charges)
    unknown = dict.fromkeys(strangers, "the provider charged for it, and it does not exist")
    return {each: what for each, what in found.items() if what} | unknown


def disagreement(charge: ExpectedCharge, done: ProviderEffects) -> str | None:
    """What a payment and the provider's effects contradict each other in."""
    if done.charges > 1 and not done.is_in_parts:
        return f"was charged {done.charges} times, {done.charged_minor} in all"
    if charge.is_named:
        return None
    if done.charges and done.currency != charge.currency:
        return f"is in {charge.currency} and was charged in {done.currency}"
    if charge.status in CAPTURED and done.charged_minor != charge.captured_minor:
        return f"is {charge.status} of {charge.captured_minor}, charged {done.charged_minor}"
    if charge.status in _ENDED_WITHOUT and done.charged_minor != done.refunded_minor:
        kept = done.charged_minor - done.refunded_minor
        return f"is {charge.status}, and the provider has {kept}"
    if charge.status in CAPTURED:
        return _refunds_disagree(charge, done)
    return None


def unexplained(charge: ExpectedCharge, done: ProviderEffects) -> str | None:
    """What is held or kept there, and in neither our books nor a letter or a break."""
    has_ended = charge.status in CAPTURED or charge.status in _ENDED_WITHOUT
    if charge.is_named or charge.owes_void or not has_ended:
        return None
    if done.held_minor:
        return f"is {charge.status}, and the provider holds {done.held_minor}"
    most = charge.captured_minor - charge.refunded_minor - charge.disputed_minor
    if most - charge.refund_pending_minor <= done.kept_minor <= most:
        return None
    return f"is to have {most} kept at the provider, which has {done.kept_minor}"


Judge: TypeAlias = "Callable[[ExpectedCharge, ProviderEffects], str | None]"
JUDGES: Final[Mapping[str, Judge]] = {"I4": disagreement, "I15": unexplained}


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
        after: int | None = 0
        while after is not None:
            after = await self._page(after, found)
        return found

    async def _page(self, after: int, found: dict[UUID, ProviderEffects]) -> int | None:
        parameters = {"after": str(after), "limit": str(_PAGE)}
        url = f"{self.address}/_simulator/payments"
        async with self.http.get(url, params=parameters, raise_for_status=True) as answer:
            page = orjson.loads(await answer.read())
        for told in page["payments"]:
            is_one_hold = told["authorizations"] == 1
            found[_payment_of(told["payment_id"])] = ProviderEffects(
                currency=told["currency"] or "",
                charges=told["charges"],
                charged_minor=told["charged_minor"],
                refunded_minor=told["refunded_minor"],
                withdrawn_minor=told["withdrawn_minor"] + told["reversed_minor"],
                held_minor=told["held_minor"],
                is_in_parts=is_one_hold and told["charged_minor"] <= told["authorized_minor"],
            )
        following: int | None = page["next"]
        return following


def _payment_of(said: str | None) -> UUID:
    """Whatever names no payment of ours counts as one that does not exist."""
    try:
        return UUID(said or "")
    except ValueError:
        return UUID(int=0)
