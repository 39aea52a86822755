"""What `payments demo` sends: a gentle stream of mixed payments, over HTTP like any client.

Transfers, payments through both providers, some declined (by the
simulator's magic amount), some refunded, some cancelled. An API that is away is waited for.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import Final
from uuid import uuid4

import aiohttp
import structlog

log = structlog.get_logger()

# The simulator's issuers decline this amount, whatever the card.
_DECLINED_AMOUNT: Final = "4000.02"
_OPENING_BALANCE: Final = "1000000.00"
_ACCOUNTS: Final = 4
_REQUEST_TIMEOUT: Final = aiohttp.ClientTimeout(total=35)


async def send(url: str, rate: float, random: Random, stop: asyncio.Event) -> None:
    """About `rate` actions a second at `url`, until `stop` is set."""
    async with aiohttp.ClientSession(url, timeout=_REQUEST_TIMEOUT) as http:
        customer = Customer(http, random)
        log.info("ready", url=url, rate=rate)
        async with asyncio.TaskGroup() as tasks:
            while not stop.is_set():
                # A slow answer must not slow the stream: that is what one wants to see.
                tasks.create_task(customer.act())
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), random.expovariate(rate))


@dataclass(frozen=True, slots=True)
class _Account:
    id: str
    currency: str


class Customer:
    """Somebody with a few accounts who does one thing at a time, of all there is to do."""

    def __init__(self, http: aiohttp.ClientSession, random: Random) -> None:
        self._http = http
        self._random = random
        self._accounts: list[_Account] = []
        self._opening = asyncio.Lock()

    async def act(self) -> None:
        """One action; an API that is away is logged and left for the next one."""
        try:
            await self._open_accounts()
            actions: list[Callable[[], Awaitable[object]]] = [
                self._transfer,
                self._pay,
                self._pay_declined,
                self._refund,
                self._cancel,
            ]
            await self._random.choices(actions, weights=[25, 50, 8, 12, 5])[0]()
        except (aiohttp.ClientError, TimeoutError) as error:
            log.warning("api away", error=str(error) or type(error).__name__)

    async def _open_accounts(self) -> None:
        async with self._opening:
            while len(self._accounts) < _ACCOUNTS:
                body = {
                    "user_id": f"demo-{len(self._accounts) + 1}",
                    "initial_balance": _OPENING_BALANCE,
                    "currency": "USD",
                }
                opened = await self._post("/api/v1/accounts", body)
                if opened is None:
                    raise aiohttp.ClientError("no account could be opened")
                self._accounts.append(_Account(str(opened["id"]), "USD"))

    async def _transfer(self) -> None:
        source, destination = self._random.sample(self._accounts, 2)
        body = {
            "source_account_id": source.id,
            "destination_account_id": destination.id,
            "amount": self._amount(),
            "currency": source.currency,
        }
        await self._post("/api/v1/transfers", body)

    async def _pay(self, amount: str | None = None) -> str | None:
        """A payment through either provider; its id."""
        source = self._random.choice(self._accounts)
        body = {
            "payment_type": "external_payment",
            "source_account_id": source.id,
            "amount": amount or self._amount(),
            "currency": source.currency,
            "provider": self._random.choice(["stripe", "paypal"]),
        }
        accepted = await self._post("/api/v1/payments", body, wait_seconds=10)
        return None if accepted is None else str(accepted["id"])

    async def _pay_declined(self) -> None:
        await self._pay(_DECLINED_AMOUNT)

    async def _refund(self) -> None:
        payment_id = await self._pay()
        if payment_id is not None:
            await self._post(f"/api/v1/payments/{payment_id}/refund", {"reason": "demo"})

    async def _cancel(self) -> None:
        """Usually too late, which is an answer worth seeing as well."""
        payment_id = await self._pay()
        if payment_id is not None:
            await self._post(f"/api/v1/payments/{payment_id}/cancel", {})

    def _amount(self) -> str:
        return f"{self._random.randint(100, 20_000) / 100:.2f}"

    async def _post(
        self, path: str, body: dict[str, str], *, wait_seconds: int = 0
    ) -> dict[str, object] | None:
        """The answer to a request with a fresh idempotency key; None when it was refused."""
        headers = {"Idempotency-Key": str(uuid4())}
        if wait_seconds:
            headers["Prefer"] = f"wait={wait_seconds}"
        async with self._http.post(path, json=body, headers=headers) as answer:
            content: dict[str, object] = await answer.json(content_type=None)
            said = content.get("status") if answer.ok else content.get("code")
            log.info("answered", path=path, http_status=answer.status, said=said)
            return content if answer.ok else None
