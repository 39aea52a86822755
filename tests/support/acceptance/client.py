"""A client of the API as a stranger would write it: plain JSON over plain HTTP."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from uuid import uuid4

import aiohttp

from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

# What an API answers is JSON of any shape to its client.
Json: TypeAlias = Any

_TERMINAL: Final = {"completed", "failed", "cancelled", "partially_refunded", "refunded"}
_TIMEOUT: Final = aiohttp.ClientTimeout(total=40)


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: Json


@dataclass(frozen=True, slots=True)
class Client:
    """Talks to one API."""

    http: aiohttp.ClientSession

    async def get(self, path: str) -> Answer:
        async with self.http.get(path) as answer:
            return Answer(
                answer.status, answer.headers.copy(), await answer.json(content_type=None)
            )

    async def post(
        self, path: str, body: Json = None, *, key: str | None = None, **headers: str
    ) -> Answer:
        """Post JSON, or bytes as they are, with a key of its own unless one is given."""
        sent = {
            "Content-Type": "application/json",
            "Idempotency-Key": key or str(uuid4()),
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        content = {"data": body} if isinstance(body, bytes) else {"json": body or {}}
        async with self.http.post(path, headers=sent, **content) as answer:
            return Answer(
                answer.status, answer.headers.copy(), await answer.json(content_type=None)
            )

    async def account(self, balance: str = "1000.00", currency: str = "USD") -> str:
        """A new account's id."""
        body = {"user_id": "user1", "initial_balance": balance, "currency": currency}
        opened = await self.post("/api/v1/accounts", body)
        assert opened.status == 201, opened.body
        return str(opened.body["id"])

    async def balance(self, account_id: str) -> tuple[str, str]:
        """What is posted, and what is available."""
        found = (await self.get(f"/api/v1/accounts/{account_id}/balance")).body
        return found["balance"], found["available"]

    async def pay(self, account_id: str, amount: str = "50.00", **more: Json) -> Json:
        """An accepted external payment, through Stripe unless said."""
        body = {
            "payment_type": "external_payment",
            "source_account_id": account_id,
            "amount": amount,
            "currency": "USD",
            "provider": "stripe",
            **more,
        }
        accepted = await self.post("/api/v1/payments", body)
        assert accepted.status == 202, accepted.body
        assert accepted.headers["Location"] == f"/api/v1/payments/{accepted.body['id']}"
        return accepted.body

    async def payment(self, payment_id: str) -> Json:
        found = await self.get(f"/api/v1/payments/{payment_id}")
        assert found.status == 200, found.body
        return found.body

    async def until(self, payment_id: str, *statuses: str, within: float = 20.0) -> Json:
        """The payment, once it is in one of these states."""
        seen: list[str] = []

        async def is_there() -> bool:
            seen.append((await self.payment(payment_id))["status"])
            assert seen[-1] in statuses, f"payment {payment_id} went {list(dict.fromkeys(seen))}"
            return True

        await eventually(is_there, within=within)
        return await self.payment(payment_id)

    async def ended(self, payment_id: str, within: float = 20.0) -> Json:
        return await self.until(payment_id, *_TERMINAL, within=within)

    async def refunded(self, payment_id: str, body: Json = None) -> Json:
        """An accepted refund, completed."""
        accepted = await self.post(f"/api/v1/payments/{payment_id}/refund", body)
        assert accepted.status in {201, 202}, accepted.body

        async def is_done() -> bool:
            found = await self.get(f"/api/v1/refunds/{accepted.body['id']}")
            assert found.body["status"] == "completed", found.body
            return True

        await eventually(is_done, within=20.0)
        return accepted.body


@asynccontextmanager
async def client_of(url: str) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession(url, timeout=_TIMEOUT) as http:
        yield Client(http)
