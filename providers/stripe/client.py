"""Requests to Stripe: form-encoded, authenticated, answered with an object or an outcome.

The API key is known here only, and leaves only as the Authorization header.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeVar
from urllib.parse import quote, urlencode

from payments.outcome import Declined, Retriable, Unknown
from providers.gateway import AnyRequest, StandingQuery, Trouble
from providers.stripe.answers import refused
from providers.stripe.config import StripeConfig
from providers.stripe.objects import Charge, Dispute, Intent, Page, Refund, parse
from providers.transport import Answer, Call, Endpoint, Transport, of_broken

# Pinned: an account's default version changes with a click in Stripe's dashboard.
STRIPE_VERSION: Final = "2026-10-28.endive"
# Stripe's largest page, and how many are read of one list: an account may make a hundred requests
# a second, 25 of them at one endpoint and 20 of them searches (docs.stripe.com/rate-limits), and
# when Stripe is in trouble every open payment asks.
PAGE: Final = 100
_PAGES_MAX: Final = 3

Asking = AnyRequest | StandingQuery
Fields = Mapping[str, str | int]
ObjectT = TypeVar("ObjectT", Intent, Refund, Dispute)
AnsweredT = TypeVar("AnsweredT", Intent, Refund, Charge, Page[Intent], Page[Refund], Page[Dispute])


class StripeClient:
    """One account's API. Made inside a running event loop."""

    def __init__(self, config: StripeConfig, connections: int) -> None:
        self._transport = Transport(Endpoint.of(config, connections))
        self._headers = {
            "Authorization": f"Bearer {config.api_key.get_secret_value()}",
            "Stripe-Version": STRIPE_VERSION,
        }

    async def post(
        self, request: AnyRequest, path: str, fields: Fields, model: type[AnsweredT]
    ) -> AnsweredT | Declined | Retriable | Unknown:
        """Do something, once per idempotency key."""
        headers = self._headers_of(request) | {
            "Idempotency-Key": request.idempotency_key,
            "Content-Type": "application/x-www-form-urlencoded",
        }
        body = urlencode(fields).encode()
        return await self._send(Call(method="POST", path=path, headers=headers, body=body), model)

    async def read(
        self, asking: Asking, path: str, model: type[AnsweredT], fields: Fields | None = None
    ) -> AnsweredT | Retriable | Unknown:
        """Look something up. That we may not look says nothing about what is there: `Unknown`."""
        query = f"?{urlencode(fields)}" if fields else ""
        headers = self._headers_of(asking)
        found = await self._send(Call(method="GET", path=path + query, headers=headers), model)
        if isinstance(found, Declined):
            return Unknown(Trouble.INCONCLUSIVE, f"{found.code}: {found.message}")
        return found

    async def listed(
        self, asking: Asking, path: str, model: type[Page[ObjectT]], fields: Fields
    ) -> list[ObjectT] | Retriable | Unknown:
        """The whole of a list, newest first: a part of it would be no answer.

        Lists are read-after-write consistent, unlike searches (docs.stripe.com/search).
        """
        found: list[ObjectT] = []
        cursor: Fields = {}
        for _ in range(_PAGES_MAX):
            page = await self.read(asking, path, model, {**fields, "limit": PAGE, **cursor})
            if not isinstance(page, Page):
                return page
            found += page.data
            if not page.has_more or not page.data:
                return found
            cursor = {"starting_after": page.data[-1].id}
        return Unknown(Trouble.LIST_TOO_LONG, f"{path} shows more than {len(found)} objects")

    async def aclose(self) -> None:
        await self._transport.aclose()

    async def _send(
        self, call: Call, model: type[AnsweredT]
    ) -> AnsweredT | Declined | Retriable | Unknown:
        exchange = await self._transport.exchange(call)
        if not isinstance(exchange, Answer):
            return of_broken(exchange)
        return parse(model, exchange) if exchange.status == 200 else refused(exchange)  # noqa: PLR2004 - Stripe's only success, docs.stripe.com/api/errors

    def _headers_of(self, asking: Asking) -> dict[str, str]:
        if asking.traceparent is None:
            return self._headers
        return self._headers | {"traceparent": asking.traceparent}


def segment(reference: str) -> str:
    """A reference as one segment of a path, whatever it contains."""
    return quote(reference, safe="")
