"""Reads all that PayPal has of one payment: its order, and the disputes about its captures.

PayPal tells of an order by its id alone; what a notification names (a capture, a dispute) leads
there. Nothing that could not be read is left out: then the whole look says why instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import parse_qs, urlencode, urlsplit

from payments.outcome import Retriable, Unknown
from providers.gateway import Look, StandingQuery, Trouble
from providers.paypal.client import PayPalClient
from providers.paypal.disputes import Dispute, DisputePage
from providers.paypal.objects import Link, Movement, Order
from providers.paypal.orders import CAPTURES, read, read_order, segment
from providers.paypal.standing import Disputed, standing_of

_DISPUTES: Final = "/v1/customer/disputes"
_PAGE_SIZE: Final = 50
# PayPal knows of one dispute a transaction; whoever answers so many pages answers another question.
_PAGES_MAX: Final = 10


async def look(client: PayPalClient, query: StandingQuery) -> Look:
    """How the payment stands, or why that cannot be told now."""
    return await _Look(client, query).taken()


class _Look:
    """One look; what was read on the way to the order is not read again."""

    def __init__(self, client: PayPalClient, query: StandingQuery) -> None:
        self._client = client
        self._query = query
        self._disputes: dict[str, Dispute] = {}

    async def taken(self) -> Look:
        order_id = await self._order_id()
        if not isinstance(order_id, str):
            return order_id
        order = await read_order(self._client, self._query, order_id)
        if not isinstance(order, Order):
            return order
        disputes: list[Disputed] = []
        for capture in order.taken:
            found = await self._disputed(capture.id)
            if not isinstance(found, list):
                return found
            disputes += found
        return standing_of(order, disputes)

    async def _order_id(self) -> str | Retriable | Unknown:
        match (self._query.provider_reference or "").split("/"):
            case [order_id, "authorization" | "capture", _] if order_id:
                return order_id
            case ["capture", capture_id] if capture_id:
                return await self._order_of(capture_id)
            case ["dispute", dispute_id] if dispute_id:
                dispute = await self._dispute(dispute_id)
                if not isinstance(dispute, Dispute):
                    return dispute
                if len(dispute.captures) == 1:
                    return await self._order_of(*dispute.captures)
                return Unknown(Trouble.INCONCLUSIVE, "the dispute is not about one payment")
            case _:
                return Unknown(Trouble.INCONCLUSIVE, "PayPal finds orders by their ids alone")

    async def _order_of(self, capture_id: str) -> str | Retriable | Unknown:
        path = f"{CAPTURES}/{segment(capture_id)}"
        capture = await read(self._client, self._query, path, Movement)
        if not isinstance(capture, Movement):
            return capture
        order_id = capture.supplementary_data.related_ids.order_id
        return order_id or Unknown(Trouble.INCONCLUSIVE, "the capture does not name its order")

    async def _disputed(self, capture_id: str) -> list[Disputed] | Retriable | Unknown:
        """Every dispute about a capture, the one that led here included."""
        ids = await self._dispute_ids(capture_id)
        if not isinstance(ids, list):
            return ids
        led = (each.dispute_id for each in self._disputes.values() if capture_id in each.captures)
        disputed: list[Disputed] = []
        for dispute_id in dict.fromkeys((*ids, *led)):
            dispute = await self._dispute(dispute_id)
            if not isinstance(dispute, Dispute):
                return dispute
            disputed.append(Disputed(capture_id, dispute))
        return disputed

    async def _dispute_ids(self, capture_id: str) -> list[str] | Retriable | Unknown:
        asked = {"disputed_transaction_id": capture_id, "page_size": str(_PAGE_SIZE)}
        ids: list[str] = []
        for _ in range(_PAGES_MAX):
            path = f"{_DISPUTES}?{urlencode(asked)}"
            page = await read(self._client, self._query, path, DisputePage)
            if not isinstance(page, DisputePage):
                return page
            ids += (each.dispute_id for each in page.items)
            if (token := _next_page(page.links)) is None:
                return ids
            asked["next_page_token"] = token
        return Unknown(Trouble.LIST_TOO_LONG, "too many disputes about one capture")

    async def _dispute(self, dispute_id: str) -> Dispute | Retriable | Unknown:
        if (known := self._disputes.get(dispute_id)) is not None:
            return known
        path = f"{_DISPUTES}/{segment(dispute_id)}"
        dispute = await read(self._client, self._query, path, Dispute)
        if isinstance(dispute, Dispute):
            self._disputes[dispute_id] = dispute
        return dispute


def _next_page(links: Sequence[Link]) -> str | None:
    """The token of the page after this one; the link's host is not followed."""
    for link in links:
        if link.rel == "next":
            tokens = parse_qs(urlsplit(link.href).query).get("next_page_token")
            return tokens[0] if tokens else ""  # which PayPal will refuse
    return None
