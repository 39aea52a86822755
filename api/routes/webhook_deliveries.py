"""What was sent to a webhook endpoint, what came of each try, and what is sent again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from api.access.scopes import Scope
from api.contract.requests.webhooks import ReplayDeliveriesBody, WebhookDeliveriesQuery
from api.contract.responses.answers import Page, json_answer
from api.contract.responses.webhooks import (
    WebhookDeliveryDetailResponse,
    WebhookDeliveryResponse,
    WebhookReplayResponse,
)
from api.contract.route import Route, Success
from api.handling.cursors import BY_TIME
from api.handling.lists import Listing
from api.handling.submission import commit
from api.http.problems import NOT_FOUND, Problem
from api.idempotency.key import KeyUse
from payments.webhook_endpoint import ReplayDeliveries, WebhookReplay
from store.read.webhooks import (
    Delivery,
    DeliveryFilters,
    webhook_attempts_of,
    webhook_deliveries_page,
    webhook_delivery_by_id,
    webhook_endpoint_by_id,
)

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from asyncpg.pool import PoolConnectionProxy

    from api.handling.call import Call
    from payments.decision import Result
    from store.read.found import Found
    from store.write.group_commit import Answer


async def list_webhook_deliveries(call: Call) -> Answer:
    endpoint_id, query = call.path_id(NOT_FOUND), call.query(WebhookDeliveriesQuery)
    filters = DeliveryFilters(
        endpoint_id=endpoint_id,
        state=query.state,
        event_type=query.event_type,
        created_from=query.created_from,
        created_before=query.created_before,
    )
    return await _DELIVERIES.answer(call, query, filters)


async def get_webhook_delivery(call: Call) -> Answer:
    endpoint_id, delivery_id = _ids(call)
    async with call.database() as connection:
        delivery = await webhook_delivery_by_id(
            connection, call.tenant_id, endpoint_id, delivery_id
        )
        if delivery is None:
            raise _absent(endpoint_id, delivery_id)
        attempts = await webhook_attempts_of(connection, delivery_id)
    return json_answer(200, WebhookDeliveryDetailResponse.whole(delivery, attempts))


async def replay_webhook_delivery(call: Call) -> Answer:
    endpoint_id, delivery_id = _ids(call)
    async with call.database() as connection:
        delivery = await webhook_delivery_by_id(
            connection, call.tenant_id, endpoint_id, delivery_id
        )
    if delivery is None:
        raise _absent(endpoint_id, delivery_id)
    command = ReplayDeliveries(
        tenant_id=call.tenant_id,
        endpoint_id=endpoint_id,
        actor=call.asker.actor,
        delivery_id=delivery_id,
    )
    return (await commit(call, command, _asked)).answer


async def replay_webhook_deliveries(call: Call) -> Answer:
    endpoint_id = call.path_id(NOT_FOUND)
    body = await call.body(ReplayDeliveriesBody)
    command = body.command(call.tenant_id, call.asker.actor, endpoint_id)
    return (await commit(call, command, _asked)).answer


def _ids(call: Call) -> tuple[UUID, UUID]:
    return call.path_id(NOT_FOUND), call.path_id(NOT_FOUND, "delivery_id")


def _absent(endpoint_id: UUID, delivery_id: UUID) -> Problem:
    return Problem(NOT_FOUND, f"webhook endpoint {endpoint_id} has no delivery {delivery_id}")


def _asked(result: Result) -> Answer:
    assert isinstance(result, WebhookReplay), "a replay was asked for"
    return json_answer(202, WebhookReplayResponse.of(result))


async def _page_of_an_endpoint(
    connection: PoolConnectionProxy,
    tenant_id: str,
    filters: DeliveryFilters,
    *,
    before: tuple[datetime, UUID] | None,
    limit: int,
) -> Found[Delivery, tuple[datetime, UUID]]:
    endpoint_id = filters.endpoint_id
    if await webhook_endpoint_by_id(connection, tenant_id, endpoint_id) is None:
        raise Problem(NOT_FOUND, f"there is no webhook endpoint {endpoint_id}")
    return await webhook_deliveries_page(connection, filters, before=before, limit=limit)


_DELIVERIES: Final = Listing(
    read=_page_of_an_endpoint,
    order=BY_TIME,
    position=lambda delivery: (delivery.created_at, delivery.id),
    page=Page[WebhookDeliveryResponse],
    row=WebhookDeliveryResponse.of,
)
_COLLECTION: Final = "/api/v1/webhook-endpoints/{id}/deliveries"
_ONE: Final = _COLLECTION + "/{delivery_id}"
_TAG: Final = "Webhooks"

ROUTES: Final = (
    Route(
        method="GET",
        path=_COLLECTION,
        handler=list_webhook_deliveries,
        scope=Scope.PAYMENTS_READ,
        summary="What was sent to a webhook endpoint, newest first, for thirty days.",
        tag=_TAG,
        query=WebhookDeliveriesQuery,
        successes={200: Success("A page of deliveries.", Page[WebhookDeliveryResponse])},
    ),
    Route(
        method="GET",
        path=_ONE,
        handler=get_webhook_delivery,
        scope=Scope.PAYMENTS_READ,
        summary="A delivery, and what came of each try.",
        tag=_TAG,
        successes={200: Success("The delivery.", WebhookDeliveryDetailResponse)},
    ),
    Route(
        method="POST",
        path=_ONE + "/replay",
        handler=replay_webhook_delivery,
        scope=Scope.WEBHOOKS_WRITE,
        summary="Send an event to a webhook endpoint again.",
        tag=_TAG,
        key_use=KeyUse.ACCEPTED,
        successes={202: Success("It is sent again.", WebhookReplayResponse)},
    ),
    Route(
        method="POST",
        path="/api/v1/webhook-endpoints/{id}/replays",
        handler=replay_webhook_deliveries,
        scope=Scope.WEBHOOKS_WRITE,
        summary="Send all that failed, or all of a time, to a webhook endpoint again.",
        tag=_TAG,
        body=ReplayDeliveriesBody,
        key_use=KeyUse.ACCEPTED,
        successes={202: Success("They are sent again, the oldest first.", WebhookReplayResponse)},
    ),
)
