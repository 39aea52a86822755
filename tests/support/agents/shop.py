"""Customers who pay, and the two witnesses who must agree on it: our books and the provider's.

The provider's journal says what was charged, our tables what we believe; `assert_right` is
what must hold of every payment once the platform is at rest, whatever happened to it.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import requests

from payments.account import Account
from payments.commands import ClaimPayment, SettlePayment
from payments.decision import Claimed
from payments.outcome import Succeeded
from payments.payment import TERMINAL, CaptureMethod, Payment, Provider
from store.write.group_commit import Submission
from tests.support.factories import SOURCE, STRIPE, open_account, pay, usd
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from uuid import UUID

    import asyncpg

    from payments.commands import Command
    from payments.decision import Refused, Result
    from store.write.group_commit import GroupCommitter
    from tests.support.simulator.admin import Admin

# Every wait of the platform, short enough for a test: a lease outlives a call to the simulator
# a hundred times all the same.
HASTY: Final = {
    "PAYMENTS_PAYMENT_LEASE": "1s",
    "PAYMENTS_PAYMENT_LOCK_TTL": "1s",
    "PAYMENTS_PAYMENT_RETRY_DELAY": "100ms",
    "PAYMENTS_OBSERVABILITY_LOG_LEVEL": "info",
}
OPENING: Final = usd(10_000_000)
PRICE: Final = usd(2_500)
# A killed worker is back in three seconds on an idle machine, and ours is not idle.
SETTLED_WITHIN_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Shop:
    """Payments go in through `committer`; `provider` is asked what it charged."""

    pool: asyncpg.Pool[asyncpg.Record]
    committer: GroupCommitter
    provider: Admin

    async def customer(self) -> Account:
        account = await self.did(open_account(OPENING))
        assert isinstance(account, Account)
        return account

    async def bought(
        self,
        customer: Account,
        provider: Provider = STRIPE,
        capture_method: CaptureMethod = CaptureMethod.AUTOMATIC,
    ) -> Payment:
        """An accepted payment of `PRICE`."""
        command = pay(customer.id, PRICE, provider=provider, capture_method=capture_method)
        payment = await self.did(command)
        assert isinstance(payment, Payment)
        return payment

    async def bought_many(self, customer: Account, count: int) -> list[Payment]:
        """As many at once, at either provider in turn."""
        either = (Provider("stripe"), Provider("paypal"))
        return list(
            await asyncio.gather(
                *(self.bought(customer, either[number % 2]) for number in range(count))
            )
        )

    async def status(self, payment: Payment) -> str:
        return str(
            await self.pool.fetchval("SELECT status FROM payments WHERE id = $1", payment.id)
        )

    async def becomes(
        self, payment: Payment, *statuses: str, within: float = SETTLED_WITHIN_S
    ) -> None:
        """Wait for one of the statuses."""

        async def has_become() -> bool:
            status = await self.status(payment)
            assert status in statuses, f"{payment.id} is {status}: {await self.story(payment)}"
            return True

        await eventually(has_become, within=within)

    async def settles(self, payments: Iterable[Payment], within: float = SETTLED_WITHIN_S) -> None:
        """Wait until nothing is owed any more to any of them."""
        ids = [payment.id for payment in payments]

        async def is_settled() -> bool:
            rows = await self.pool.fetch(
                "SELECT status, due_at FROM payments WHERE id = any($1)", ids
            )
            left = [
                row for row in rows if row["status"] not in TERMINAL or row["due_at"] is not None
            ]
            assert not left, f"{len(left)} of {len(ids)} are left, the first as {left[0]}"
            return True

        await eventually(is_settled, within=within)

    async def attempts(self, payment: Payment) -> list[tuple[int, bool, str | None]]:
        """Number, whether it inquired first, and outcome of each."""
        rows = await self.pool.fetch(
            "SELECT number, inquiry, outcome FROM attempts"
            " WHERE payment_id = $1 AND refund_id IS NULL ORDER BY number",
            payment.id,
        )
        return [(row["number"], row["inquiry"], row["outcome"]) for row in rows]

    async def is_claimed(self, payment: Payment) -> bool:
        """Whether a worker holds its lease."""
        lease = await self.pool.fetchval("SELECT lease_id FROM payments WHERE id = $1", payment.id)
        return lease is not None

    async def authorized(self) -> Payment:
        """A payment whose money is held, by us and by its provider."""
        return await self.charged(CaptureMethod.MANUAL)

    async def charged(self, method: CaptureMethod = CaptureMethod.AUTOMATIC) -> Payment:
        """A payment that its provider has said yes to, without a worker."""
        payment = await self.bought(await self.customer(), capture_method=method)
        claim = await self.did(ClaimPayment(payment.id, 1, "worker"))
        assert isinstance(claim, Claimed)
        attempt, held = claim.attempt, Succeeded("pi_1")
        await self.did(SettlePayment(payment.id, attempt.id, attempt.operation, held, SOURCE))
        return payment

    @asynccontextmanager
    async def locked(self, *payments: Payment) -> AsyncIterator[None]:
        """Nobody else can record anything about the payments inside the block."""
        locked = "SELECT FROM payments WHERE id = any($1::uuid[]) FOR UPDATE"
        async with self.pool.acquire() as connection, connection.transaction():
            await connection.execute(locked, [each.id for each in payments])
            yield

    @asynccontextmanager
    async def unrecordable(self, payment: Payment) -> AsyncIterator[None]:
        """Inside the block whoever changes the payment meets an error that nobody foresaw."""
        await self.pool.execute(
            f"""
            CREATE FUNCTION meet_a_bug() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                IF new.payment_id = '{payment.id}' THEN RAISE 'a bug'; END IF;
                RETURN new;
            END $$;
            CREATE TRIGGER bug BEFORE INSERT ON payment_events
            FOR EACH ROW EXECUTE FUNCTION meet_a_bug();
            """
        )
        try:
            yield
        finally:
            await self.pool.execute("DROP FUNCTION meet_a_bug CASCADE")

    async def is_kept_waiting(self, who: str) -> bool:
        """Whether a statement of theirs stands before a lock."""
        return bool(
            await self.pool.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND application_name = $1 AND wait_event_type = 'Lock'",
                who,
            )
        )

    def has_struck(self) -> bool:
        """Whether every fault that was armed for a number of requests has befallen them."""
        answer = requests.get(f"{self.provider.url}/_simulator/faults", timeout=5)
        return not answer.json()["faults"]

    async def events(self, payment: Payment) -> list[str]:
        """What happened to it, private changes included, in order."""
        rows = await self.pool.fetch(
            "SELECT type FROM payment_events WHERE payment_id = $1 ORDER BY version", payment.id
        )
        return [row["type"] for row in rows]

    async def story(self, payment: Payment) -> list[str]:
        """Its whole history, for whoever reads a failure."""
        return [*await self.events(payment), *map(str, await self.attempts(payment))]

    def charges(self, payment: Payment) -> int:
        """How often the provider took the money, by its own journal."""
        return sum(each["charges"] for each in self._reports(payment.id))

    def asked(self, payment: Payment, *operations: str) -> list[str]:
        """The provider's entries about a payment as `operation/outcome`, in order."""
        return [
            f"{entry['operation']}/{entry['fault'] or entry['outcome']}"
            for entry in self.provider.journal(payment_id=str(payment.id))
            if not operations or entry["operation"] in operations
        ]

    async def assert_right(self, customer: Account) -> None:
        """Both witnesses agree on each payment, no money is held, and the balance follows."""
        payments = await self.pool.fetch(
            "SELECT * FROM payments WHERE source_account_id = $1", customer.id
        )
        for row in payments:
            captured = row["captured_minor"] > 0
            reports = self._reports(row["id"])
            charges = sum(each["charges"] for each in reports)
            assert charges == (1 if captured else 0), f"{row['status']} with {charges} charges"
            refunded = sum(each["refunded_minor"] for each in reports)
            assert refunded == row["refunded_minor"]
            assert row["lease_id"] is None
            assert row["due_at"] is None, f"{row['status']}, due at {row['due_at']}"
        now = await self.pool.fetchrow("SELECT * FROM accounts WHERE id = $1", customer.id)
        assert now is not None
        assert now["debits_pending"] == 0, "a hold is left"
        spent = sum(row["captured_minor"] - row["refunded_minor"] for row in payments)
        assert now["credits_posted"] - now["debits_posted"] == OPENING.amount_minor - spent
        await self._assert_attempts_are_counted(customer)
        await self._assert_the_ledger_adds_up(customer)

    async def _assert_attempts_are_counted(self, customer: Account) -> None:
        """Attempts are numbered 1, 2, 3 ... and none is left open."""
        rows = await self.pool.fetch(
            "SELECT attempts.* FROM attempts"
            " INNER JOIN payments ON attempts.payment_id = payments.id"
            " WHERE payments.source_account_id = $1 ORDER BY attempts.payment_id, number",
            customer.id,
        )
        numbers: dict[tuple[UUID, UUID | None], list[int]] = {}
        for row in rows:
            assert row["outcome"] is not None, "an attempt is left open"
            numbers.setdefault((row["payment_id"], row["refund_id"]), []).append(row["number"])
        for found in numbers.values():
            assert found == list(range(1, len(found) + 1))

    async def _assert_the_ledger_adds_up(self, customer: Account) -> None:
        """The account's columns are what its transfers say."""
        row = await self.pool.fetchrow(
            """
            SELECT
                coalesce(sum(amount_minor) FILTER (
                    WHERE credit_account_id = $1 AND state = 'posted'), 0)
                - coalesce(sum(amount_minor) FILTER (
                    WHERE debit_account_id = $1 AND state = 'posted'), 0) AS folded,
                (SELECT credits_posted - debits_posted FROM accounts WHERE id = $1) AS kept
            FROM ledger_transfers
            WHERE credit_account_id = $1 OR debit_account_id = $1
            """,
            customer.id,
        )
        assert row is not None
        assert row["folded"] == row["kept"]

    def _reports(self, payment_id: UUID) -> list[dict[str, int]]:
        url = f"{self.provider.url}/_simulator/payments/{payment_id}"
        answer = requests.get(url, timeout=5)
        answer.raise_for_status()
        return list(answer.json()["payments"])

    async def did(self, command: Command) -> Result | Refused:
        return (await self.committer.submit(Submission(command))).result
