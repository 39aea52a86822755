"""The simulator's own API under `/_simulator`: script faults, read the journal and its report.

It needs no key and is meant for loopback. Nothing here changes what a vendor has on record; the
vendors' dashboards, which do, are in dashboard_api.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Final

import orjson
from aiohttp import web
from pydantic import ValidationError

from simulator.dashboard_api import DashboardApi
from simulator.exchange import Exchange
from simulator.faults import VENDORS, ArmedFault, FaultSpec
from simulator.journal import Recovery
from simulator.journal_report import JournalReport
from simulator.responses import invalid_json, json
from simulator.settlements import instant, settlement_report
from simulator.vendor import Vendor

_PAGE_DEFAULT: Final = 1000
_PAGE_MAX: Final = 100_000
_FILTERS: Final = ("vendor", "operation", "payment_id", "key", "outcome", "effect")


@dataclass(frozen=True, slots=True)
class Admin:
    """Handlers over one exchange."""

    exchange: Exchange
    recovery: Recovery
    vendors: Mapping[str, Vendor]

    def routes(self) -> list[web.RouteDef]:
        """Where each handler is mounted."""
        return [
            web.post("/_simulator/faults", self.arm_fault),
            web.get("/_simulator/faults", self.list_faults),
            web.delete("/_simulator/faults", self.clear_faults),
            web.get("/_simulator/journal", self.read_journal),
            web.get("/_simulator/journal/summary", self.summarize),
            web.get("/_simulator/settlements", self.settlements),
            web.get("/_simulator/payments", self.list_payments),
            web.get("/_simulator/payments/{payment_id}", self.one_payment),
            *DashboardApi(self.exchange, self.vendors).routes(),
        ]

    async def arm_fault(self, request: web.Request) -> web.Response:
        """POST a fault; answers it with its id."""
        try:
            spec = FaultSpec.model_validate_json(
                await request.read(), context={VENDORS: tuple(self.vendors)}
            )
        except ValidationError as error:
            return invalid_json(error)
        return json(_fault_object(self.exchange.faults.arm(spec)), 201)

    async def list_faults(self, _request: web.Request) -> web.Response:
        """GET what is armed, and how often each has fired."""
        return json({"faults": [_fault_object(fault) for fault in self.exchange.faults.armed]})

    async def clear_faults(self, request: web.Request) -> web.Response:
        """DELETE everything armed, or one `?vendor=`'s."""
        return json({"removed": self.exchange.faults.clear(request.query.get("vendor", "*"))})

    async def read_journal(self, request: web.Request) -> web.Response:
        """GET entries from byte offset `after`, filtered; `next` is null at the end."""
        try:
            after = int(request.query.get("after", "0"))
            limit = min(int(request.query.get("limit", _PAGE_DEFAULT)), _PAGE_MAX)
        except ValueError:
            return json({"error": "after and limit are integers"}, 422)
        wanted = {name: request.query[name] for name in _FILTERS if name in request.query}
        page = await asyncio.to_thread(self._page, after, max(limit, 1), wanted)
        return json(page)

    async def settlements(self, request: web.Request) -> web.Response:
        """GET what moved at a `provider` `from` a time (in it) `to` another (not in it), as CSV."""
        try:
            period = (instant(request.query.get("from")), instant(request.query.get("to")))
        except ValueError:
            return json({"error": "from and to are times, such as 2026-01-01T00:00:00Z"}, 422)
        vendor = self.vendors.get(request.query.get("provider", ""))
        if vendor is None:
            return json({"error": f"provider is {' or '.join(self.vendors)}"}, 422)
        entries = (line for _, line in self.exchange.journal.read_lines(0))
        report = await asyncio.to_thread(settlement_report, entries, vendor, period)
        return web.Response(text=report, content_type="text/csv")

    async def summarize(self, _request: web.Request) -> web.Response:
        """GET counts, sums and whatever no correct client would have caused."""
        summary = _summary(self.exchange.report)
        summary["journal"] = asdict(self.recovery) | {"last_seq": self.exchange.last_seq}
        summary["webhooks"] = {
            "delivered": self.exchange.webhooks.delivered,
            "waiting": self.exchange.webhooks.waiting,
            "given_up": self.exchange.webhooks.given_up,
        }
        return json(summary)

    async def list_payments(self, request: web.Request) -> web.Response:
        """GET the report on every payment, in order of first effect, by `after` and `limit`."""
        try:
            after = int(request.query.get("after", "0"))
            limit = min(int(request.query.get("limit", _PAGE_DEFAULT)), _PAGE_MAX)
        except ValueError:
            return json({"error": "after and limit are integers"}, 422)
        payments = self.exchange.report.payments
        page = list(islice(payments.oldest_first(after), limit))
        following = after + len(page)
        return json(
            {
                "payments": [asdict(payment) for payment in page],
                "next": following if following < len(payments) else None,
            }
        )

    async def one_payment(self, request: web.Request) -> web.Response:
        """GET the report on one payment at each vendor that knows it."""
        payment_id = request.match_info["payment_id"]
        told = (self.exchange.report.payment(vendor, payment_id) for vendor in self.vendors)
        return json({"payments": [asdict(payment) for payment in told if payment is not None]})

    def _page(self, after: int, limit: int, wanted: dict[str, str]) -> dict[str, object]:
        entries: list[object] = []
        following: int | None = None
        for offset, line in self.exchange.journal.read_lines(after):
            entry = orjson.loads(line)
            if all(entry.get(name) == value for name, value in wanted.items()):
                entries.append(entry)
            if len(entries) == limit:
                following = offset
                break
        return {"entries": entries, "next": following}


def _summary(report: JournalReport) -> dict[str, object]:
    return {
        "entries": report.entries,
        "payments": len(report.payments),
        "requests": [
            {"vendor": vendor, "operation": operation, "outcome": outcome, "count": count}
            for (vendor, operation, outcome), count in sorted(report.requests.items())
        ],
        "effects": [
            {
                "vendor": vendor,
                "effect": effect,
                "currency": currency,
                "amount_minor": amount_minor,
                "count": report.effects[vendor, effect, currency],
            }
            for (vendor, effect, currency), amount_minor in sorted(report.moved.items())
        ],
        "faults": dict(sorted(report.faults.items())),
        "charged_more_than_once": [asdict(payment) for payment in report.charged_more_than_once()],
        "refunded_more_than_charged": [
            asdict(payment) for payment in report.refunded_more_than_charged()
        ],
    }


def _fault_object(fault: ArmedFault) -> dict[str, object]:
    return {
        "id": fault.id,
        "fired": fault.fired,
        "left": fault.left,
        **fault.spec.model_dump(mode="json"),
    }
