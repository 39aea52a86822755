"""Clients, a worker, an operator and two providers' dashboards act at random on real servers.

What each provider's own journal says is held against the books in the end: they agree, or an open
dead letter names the difference. A failure prints its seed, which repeats its choices.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import aiohttp
import pytest

from agents.notifications import looked_at
from agents.provider_work.provider_stage import ask, inquire, settling
from payments.account import Account
from payments.commands import (
    CancelPayment,
    CapturePayment,
    ClaimPayment,
    ClaimRefund,
    ObservePayment,
    RedriveDeadLetter,
    RefundPayment,
)
from payments.decision import Claimed
from payments.notification import ProviderNotification, Reported
from payments.outcome import NotFound
from payments.payment import CaptureMethod, Provider
from payments.resolution import Captured, DidNotHappen, Happened, ResolvePayment
from providers.registry import NAMES
from store.pool import long_reading
from store.write.group_commit import Submission
from tests.support.agents.notifications import Desk, desk_at_work
from tests.support.factories import SOURCE, TENANT, open_account, pay, usd
from verify.database import expected_charges, read_baseline
from verify.provider import ProviderJournal, check_charges

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path
    from uuid import UUID

    import asyncpg

    from payments.commands import Command
    from payments.decision import Refused, Result
    from process.addresses import DatabaseAddress
    from store.write.group_commit import GroupCommitter

STEPS: Final = 60
DEEDS: Final = (
    *("pay", "pay_by_hand"),
    *("work", "work", "work", "work"),
    *("capture", "cancel", "refund"),
    *("dashboard_capture", "dashboard_void", "dashboard_refund", "dashboard_expire"),
    *("dispute", "dispute_won", "dispute_lost", "bounce", "fault", "redrive", "resolve"),
)
FAULTS: Final = ("reset_before", "reset_after", "error_before", "error_after", "decline")


@pytest.fixture
async def desk(
    committer: GroupCommitter, pool: asyncpg.Pool[asyncpg.Record], tmp_path: Path
) -> AsyncIterator[Desk]:
    async with (
        aiohttp.ClientSession() as session,
        desk_at_work(committer, pool, session, tmp_path) as opened,
    ):
        yield opened


class Town:
    """One payer, and whoever has to do with its payments; each deed may find nothing to do."""

    def __init__(self, desk: Desk, chance: random.Random) -> None:
        self.desk = desk
        self.chance = chance
        self.account: Account | None = None

    async def lives(self) -> None:
        account = await self.desk.did(open_account(usd(1_000_000)))
        assert isinstance(account, Account)
        self.account = account
        for _ in range(STEPS):
            await self.does(self.chance.choice(DEEDS))

    async def does(self, deed: str) -> None:
        match deed:
            case "pay" | "pay_by_hand":
                await self.pays(CaptureMethod.MANUAL if "hand" in deed else CaptureMethod.AUTOMATIC)
            case "work":
                await self.works(rounds=1)
            case "fault":
                await self.acts("faults", kind=self.chance.choice(FAULTS), times=1)
            case "redrive":
                for letter in await self.letters():
                    await self.asks(RedriveDeadLetter(letter["id"], "ada", "again"))
            case "bounce":
                await self.bounces()
            case _:
                row = await self.one()
                if row is not None:
                    await self.does_to(deed, row)

    async def does_to(self, deed: str, row: asyncpg.Record) -> None:
        payment_id, amount = row["id"], usd(self.chance.randint(100, row["amount_minor"]))
        match deed:
            case "capture":
                await self.asks(CapturePayment(TENANT, payment_id, amount))
            case "cancel":
                await self.asks(CancelPayment(TENANT, payment_id))
            case "refund":
                await self.asks(RefundPayment(TENANT, payment_id, amount))
            case "resolve":
                await self.resolves(row)
            case "dispute_won" | "dispute_lost":
                outcome = deed.removeprefix("dispute_")
                await self.acts(f"payments/{payment_id}/dispute/close", outcome=outcome)
            case "dashboard_capture" | "dashboard_refund":
                what = deed.removeprefix("dashboard_")
                await self.acts(f"payments/{payment_id}/{what}", amount=amount.amount_minor)
            case _:
                await self.acts(f"payments/{payment_id}/{deed.removeprefix('dashboard_')}")

    async def pays(self, method: CaptureMethod) -> None:
        assert self.account is not None
        provider = Provider(self.chance.choice(NAMES))
        await self.asks(pay(self.account.id, provider=provider, capture_method=method))

    async def works(self, rounds: int) -> None:
        """A worker claims whatever is owed, asks after it or for it, and records the answer."""
        for _ in range(rounds):
            owed = [
                *(await self.rows("SELECT id, attempt_count, NULL AS refund FROM payments"
                                  " WHERE operation IS NOT NULL AND lease_id IS NULL")),
                *(await self.rows("SELECT id, attempt_count, id AS refund FROM refunds"
                                  " WHERE due_at IS NOT NULL AND lease_id IS NULL")),
            ]  # fmt: skip
            for row in owed:
                claim = ClaimRefund if row["refund"] else ClaimPayment
                claimed = await self.asks(claim(row["id"], row["attempt_count"] + 1, "w"))
                if isinstance(claimed, Claimed):
                    await self.is_asked(claimed)

    async def is_asked(self, claimed: Claimed) -> None:
        gateway = self.desk.gateways[claimed.attempt.provider]
        if claimed.attempt.inquiry:
            found = await inquire(gateway, claimed)
            if not isinstance(found, NotFound):
                await self.asks(settling(claimed, found, SOURCE, is_of_inquiry=True))
                return
        outcome = await ask(gateway, claimed)
        await self.asks(settling(claimed, outcome, SOURCE, is_of_inquiry=False))

    async def bounces(self) -> None:
        rows = await self.rows("SELECT provider_reference FROM refunds WHERE status = 'completed'")
        if rows:
            reference = self.chance.choice(rows)["provider_reference"]
            await self.acts(f"refunds/{reference}/fail", reason="expired_or_canceled_card")

    async def resolves(self, row: asyncpg.Record) -> None:
        """An operator who has looked at the provider's dashboard says what is there."""
        (seen,) = await self.reports(row["id"]) or ({},)
        amount = usd(row["amount_minor"])
        reference = f"O/capture/{uuid4()}" if row["provider"] == "paypal" else f"pi_{uuid4().hex}"
        if seen.get("charges"):
            verdict = Captured(usd(seen["charged_minor"]), seen["references"][0])
        elif row["operation"] == "void" and not seen.get("held_minor"):
            await self.asks(ResolvePayment(row["id"], "ada", "saw", Happened(amount, reference)))
            return
        elif seen.get("held_minor"):
            return  # as it is: somebody has to let go of it first
        else:
            await self.asks(ResolvePayment(row["id"], "ada", "saw", DidNotHappen()))
            return
        await self.asks(ResolvePayment(row["id"], "ada", "saw", verdict))

    async def is_observed(self) -> None:
        """As its notifications would have had it, had all of them come last."""
        for row in await self.rows("SELECT * FROM payments WHERE operation IS NULL"):
            provider = Provider(row["provider"])
            references = (row["provider_reference"],) if row["provider_reference"] else ()
            if not references and provider == "paypal":
                continue  # nothing was ever taken, or its name would be known
            found = await looked_at(self.desk.gateways[provider], row["id"], references)
            if found is not None:
                event = ProviderNotification(provider, str(uuid4()), "test", Reported.CHANGED)
                await self.asks(ObservePayment(row["id"], event, found, row["version"]))

    # How

    async def one(self) -> asyncpg.Record | None:
        rows = await self.rows("SELECT * FROM payments ORDER BY id DESC LIMIT 5")
        return self.chance.choice(rows) if rows else None

    async def rows(self, statement: str) -> list[asyncpg.Record]:
        return await self.desk.pool.fetch(statement)

    async def letters(self) -> list[asyncpg.Record]:
        return await self.rows("SELECT id FROM dead_letters WHERE state = 'parked'")

    async def asks(self, command: Command) -> Result | Refused:
        return (await self.desk.committer.submit(Submission(command))).result

    async def acts(self, path: str, **body: str | int) -> None:
        """Where the vendor refuses nothing is changed, which is as good."""
        url = f"{self.desk.provider_url}/_simulator/{path}"
        async with self.desk.session.post(url, json=body) as answer:
            assert answer.status < 500, await answer.text()

    async def reports(self, payment_id: UUID) -> list[dict[str, Any]]:
        url = f"{self.desk.provider_url}/_simulator/payments/{payment_id}"
        async with self.desk.session.get(url) as answer:
            return list((await answer.json())["payments"]) if answer.status == 200 else []


async def lived(desk: Desk, database: DatabaseAddress, seed: int) -> None:
    town = Town(desk, random.Random(seed))
    await town.lives()
    async with desk.session.delete(f"{desk.provider_url}/_simulator/faults") as answer:
        assert answer.status < 300
    await town.works(rounds=8)
    await town.is_observed()
    await town.works(rounds=8)
    await town.is_observed()
    async with long_reading(database, application_name="payments-verify") as connection:
        baseline = await read_baseline(connection, outbox_retention_s=86_400)
        journal = ProviderJournal(desk.session, desk.provider_url)
        results = [
            *baseline.results,
            *await check_charges(connection, journal, await expected_charges(connection)),
        ]
    violated = [(each.invariant, each.violations) for each in results if not each.holds]
    assert violated == [], f"seed {seed}"


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_is_done_at_a_provider_the_books_follow_or_a_letter_says_why_not(
    desk: Desk, database: DatabaseAddress, seed: int
) -> None:
    """After hundreds of deeds nothing is held, kept, charged or owed without a word."""
    await lived(desk, database, seed)


@pytest.mark.long
@pytest.mark.parametrize("number", range(50))
async def test_the_books_follow_for_long(
    desk: Desk, database: DatabaseAddress, number: int
) -> None:
    """Thousands of deeds, other ones each time."""
    del number
    await lived(desk, database, random.SystemRandom().getrandbits(32))
