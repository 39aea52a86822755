"""Webhooks: endpoints and how they are doing, what was sent to each, and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from api.access.scopes import Scope
from api.console.actions import Action
from api.console.page import page
from api.console.routes_of import operation
from api.routes.webhook_deliveries import get_webhook_delivery, list_webhook_deliveries
from api.routes.webhook_endpoints import get_webhook_endpoint, list_webhook_endpoints
from store.read.webhooks import DeliveryState

if TYPE_CHECKING:
    from api.console.visit import Shown, Visit
    from store.write.group_commit import Answer

_STATES: Final = tuple(state.value for state in DeliveryState)
_ALL: Final = "/console/webhook-endpoints"
_ONE: Final = _ALL + "/{id}"
_DELIVERY: Final = _ONE + "/deliveries/{delivery_id}"


async def show_endpoints(visit: Visit) -> Answer:
    endpoints = await visit.ask(list_webhook_endpoints)
    return visit.page("webhooks.html", page=endpoints)


async def show_endpoint(visit: Visit) -> Answer:
    endpoint = await endpoint_of(visit)
    deliveries = await visit.ask(list_webhook_deliveries)
    return visit.page("webhook_endpoint.html", endpoint=endpoint, page=deliveries, states=_STATES)


async def show_delivery(visit: Visit) -> Answer:
    endpoint = await endpoint_of(visit)
    return visit.page("webhook_delivery.html", endpoint=endpoint, delivery=await _delivery(visit))


async def endpoint_of(visit: Visit) -> Shown:
    """The endpoint of the path, as the API shows it."""
    return await visit.ask(get_webhook_endpoint, {})


async def _delivery(visit: Visit) -> Shown:
    return await visit.ask(get_webhook_delivery, {})


async def _both(visit: Visit) -> Shown:
    return {**await endpoint_of(visit), "delivery": await _delivery(visit)}


def _action(name: str, title: str, path: str, **given: str) -> Action:
    return Action(
        of=operation(name),
        title=title,
        template="about_endpoint.html",
        subject=endpoint_of,
        back=_ONE,
        path=f"{_ONE}/{path}",
        given=given,
        is_grave=name == "delete_webhook_endpoint",
        reveals="webhook_secret.html" if name == "rotate_webhook_secret" else "",
    )


async def _not_there_yet(visit: Visit) -> Shown:
    del visit
    return {}


ACTIONS: Final = (
    Action(
        of=operation("create_webhook_endpoint"),
        title="Add an endpoint",
        template="create_webhook_endpoint.html",
        subject=_not_there_yet,
        back=_ALL,
        path=f"{_ALL}/new",
        reveals="webhook_secret.html",
    ),
    _action("rotate_webhook_secret", "Rotate secret", "rotate-secret"),
    _action("change_webhook_endpoint", "Pause", "pause", state="paused"),
    _action("change_webhook_endpoint", "Enable", "enable", state="enabled"),
    _action("send_test_event", "Send a test", "test"),
    _action("replay_webhook_deliveries", "Replay what failed", "replays", deliveries="failed"),
    Action(
        of=operation("replay_webhook_delivery"),
        title="Send again",
        template="about_delivery.html",
        subject=_both,
        back=_DELIVERY,
        path=_DELIVERY + "/replay",
    ),
)

PAGES: Final = (
    page(_ALL, show_endpoints, Scope.PAYMENTS_READ, "Webhook endpoints."),
    page(_ONE, show_endpoint, Scope.PAYMENTS_READ, "A webhook endpoint, and what it was sent."),
    page(_DELIVERY, show_delivery, Scope.PAYMENTS_READ, "A delivery, and what came of each try."),
    *(route for action in ACTIONS for route in action.routes()),
)
