"""What must be so once a bad day is over: all that was accepted has ended, and was told."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import UUID

import aiohttp

from payments.payment import TERMINAL
from payments.refund import RefundStatus
from tests.support.agents.webhooks import street
from tests.support.matrix.clients import HEALED_WITHIN_S
from tests.support.waiting import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Sequence

    from tests.support.agents.webhooks import Shopfront
    from tests.support.matrix.clients import Clients
    from tests.support.matrix.site import Site

_REST_WITHIN_S: Final = 60.0
_REFUNDS_END: Final = (RefundStatus.COMPLETED, RefundStatus.FAILED)
# What `payments verify` says of a provider whose journal it cannot read.
_UNASKED: Final = "no simulator is asked"


@dataclass(frozen=True, slots=True)
class Books:
    """Looked at from all sides: the database, the topics, the journal, and a tenant's endpoint."""

    site: Site
    endpoint: Shopfront

    async def until_healed(self, clients: Clients) -> None:
        """Everybody is ready, and all that clients were promised has come to be, soundly."""
        for process in self.site.processes.values():
            await process.until_ready()
        await eventually(lambda: self._have_ended(clients), within=HEALED_WITHIN_S)
        await eventually(lambda: self._were_told(clients), within=HEALED_WITHIN_S)
        self.endpoint.received.clear()
        await self._verify()

    async def _have_ended(self, clients: Clients) -> bool:
        await self._are("payments", clients.accepted, TERMINAL)
        await self._are("refunds", clients.refunds, _REFUNDS_END)
        return True

    async def _are(self, table: str, ids: Sequence[str], ends: Collection[str]) -> None:
        """Each id that somebody was given is there, and has come to one of these ends."""
        known = await self.site.admin.fetch(
            f"SELECT * FROM {table} WHERE id = any($1::uuid[])",  # noqa: S608 # a constant
            [UUID(each) for each in ids],
        )
        assert len(known) == len(ids), f"of {len(ids)} {table} {len(known)} are there"
        left = [each for each in known if each["status"] not in ends]
        assert not left, f"of {len(ids)} {table} there are left {[dict(each) for each in left[:3]]}"

    async def _were_told(self, clients: Clients) -> bool:
        """The tenant's endpoint got each public event of what was accepted."""
        told = await self.site.admin.fetch(
            "SELECT id, type FROM payment_events"
            " WHERE payment_id = any($1::uuid[]) AND sequence IS NOT NULL",
            [UUID(each) for each in clients.accepted],
        )
        heard = set(self.endpoint.ids())
        missing = [each for each in told if str(each["id"]) not in heard]
        assert not missing, f"of {len(told)} events there are missing {missing[:3]}"
        return True

    async def _verify(self) -> None:
        """Every invariant holds, and all of them could be looked at."""
        wait_s = str(_REST_WITHIN_S * PATIENCE)
        said = await self.site.platform.command("verify", "--wait", wait_s)
        assert _UNASKED not in said, said


@asynccontextmanager
async def books_of(site: Site) -> AsyncIterator[Books]:
    """Books of a site whose tenant has an endpoint from now on."""
    async with street() as shops:
        endpoint = shops.shop()
        async with (
            aiohttp.ClientSession(site.url, raise_for_status=True) as http,
            http.post("/api/v1/webhook-endpoints", json={"url": endpoint.url}),
        ):
            yield Books(site, endpoint)
