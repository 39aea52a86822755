"""The vendors' dashboards under `/_simulator`: what is done to a payment by nobody's request.

An action is decided, journalled and told of by webhooks as a request is, and refused as the
vendor refuses. The first vendor that has what it is about acts, or the one of `?vendor=`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import orjson
from aiohttp import web
from pydantic import ValidationError

from simulator.dashboard import PATHS, Action, NotOffered, RollKey
from simulator.exchange import Acted, Exchange
from simulator.responses import invalid_json, json
from simulator.vendor import Vendor


@dataclass(frozen=True, slots=True)
class DashboardApi:
    """Handlers over one exchange."""

    exchange: Exchange
    vendors: Mapping[str, Vendor]

    def routes(self) -> list[web.RouteDef]:
        """A route for each action."""
        return [
            web.post(f"/_simulator/{path}", partial(self.act, kind)) for path, kind in PATHS.items()
        ]

    async def act(self, kind: type[Action], request: web.Request) -> web.Response:
        """POST an action; answers what came of it, with the vendor's object or refusal."""
        try:
            action = kind.model_validate_json(await request.read() or b"{}")
        except ValidationError as error:
            return invalid_json(error)
        subject = request.match_info.get("subject", "")
        asked = action.vendor if isinstance(action, RollKey) else request.query.get("vendor")
        for name, vendor in self.vendors.items():
            if asked not in (None, name):
                continue
            try:
                acted = await self.exchange.act(vendor, action, subject)
            except NotOffered as reason:
                return json({"error": str(reason), "vendor": name}, 422)
            if acted is not None:
                is_refused = acted.decision.error is not None
                return json(_shown(name, acted), acted.answer.status if is_refused else 200)
        return json({"error": "no vendor has it, or has it to do this with"}, 404)


def _shown(vendor: str, acted: Acted) -> dict[str, object]:
    decision = acted.decision
    return {
        "vendor": vendor,
        "payment_id": decision.payment_id,
        "outcome": decision.outcome,
        "effect": decision.effect,
        "amount_minor": decision.amount_minor,
        "currency": decision.currency,
        "reference": decision.reference,
        "refund_id": decision.refund_id,
        "dispute": decision.dispute,
        "events": decision.events,
        "object": orjson.loads(acted.answer.body or b"null"),
    }
