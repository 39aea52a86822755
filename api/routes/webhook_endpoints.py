"""Webhook endpoints: where a tenant's events are sent, and by what secret they are signed.

The secret is added to an answer when it is given, also when it is given again: what is stored
under an idempotency key, and in Redis, does not have it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final
from uuid import UUID

import orjson

from api.access.scopes import Scope
from api.contract.requests.webhooks import (
    ChangeWebhookEndpointBody,
    CreateWebhookEndpointBody,
    RotateWebhookSecretBody,
    WebhookEndpointsQuery,
)
from api.contract.responses.answers import Page, json_answer
from api.contract.responses.webhooks import (
    NewWebhookSecretResponse,
    WebhookEndpointResponse,
    WebhookTestResponse,
)
from api.contract.route import Route, Success
from api.handling.cursors import BY_ID
from api.handling.lists import Listing
from api.handling.reads import RETRY_SOON
from api.handling.submission import commit
from api.http.problems import NOT_FOUND, UNAVAILABLE, Problem
from api.idempotency.key import KeyUse
from payments.webhook_endpoint import (
    DeleteWebhookEndpoint,
    SendTestEvent,
    WebhookEndpoint,
    WebhookTest,
)
from store.read.webhooks import (
    EndpointFilters,
    webhook_endpoint_by_id,
    webhook_endpoints_page,
)
from topics.contracts.webhooks import NoKey

if TYPE_CHECKING:
    from api.handling.call import Call
    from payments.decision import Result
    from store.write.group_commit import Answer


async def create_webhook_endpoint(call: Call) -> Answer:
    body = await call.body(CreateWebhookEndpointBody)
    command = body.command(call.tenant_id, call.asker.actor, _key_id(call), call.deps.reach)
    return _with_secret(call, (await commit(call, command, _created)).answer)


async def list_webhook_endpoints(call: Call) -> Answer:
    query = call.query(WebhookEndpointsQuery)
    return await _ENDPOINTS.answer(call, query, query.filters(EndpointFilters))


async def get_webhook_endpoint(call: Call) -> Answer:
    endpoint_id = call.path_id(NOT_FOUND)
    async with call.database() as connection:
        known = await webhook_endpoint_by_id(connection, call.tenant_id, endpoint_id)
    if known is None:
        raise Problem(NOT_FOUND, f"there is no webhook endpoint {endpoint_id}")
    return json_answer(200, WebhookEndpointResponse.of(known))


async def change_webhook_endpoint(call: Call) -> Answer:
    endpoint_id = call.path_id(NOT_FOUND)
    body = await call.body(ChangeWebhookEndpointBody)
    actor = call.asker.actor
    command = body.command(call.tenant_id, actor, endpoint_id, call.deps.reach)
    return (await commit(call, command, _shown)).answer


async def delete_webhook_endpoint(call: Call) -> Answer:
    command = DeleteWebhookEndpoint(
        tenant_id=call.tenant_id,
        endpoint_id=call.path_id(NOT_FOUND),
        actor=call.asker.actor,
    )
    return (await commit(call, command, _shown)).answer


async def rotate_webhook_secret(call: Call) -> Answer:
    endpoint_id = call.path_id(NOT_FOUND)
    body = await call.body(RotateWebhookSecretBody)
    command = body.command(call.tenant_id, call.asker.actor, endpoint_id, _key_id(call))
    return _with_secret(call, (await commit(call, command, _rotated)).answer)


async def send_test_event(call: Call) -> Answer:
    command = SendTestEvent(tenant_id=call.tenant_id, endpoint_id=call.path_id(NOT_FOUND))
    return (await commit(call, command, _tested)).answer


def _key_id(call: Call) -> str:
    try:
        return call.deps.keyring.current_id
    except NoKey:
        detail = "this ingress cannot make secrets: its operator must set PAYMENTS_WEBHOOK_KEY"
        raise Problem(UNAVAILABLE, detail, headers=RETRY_SOON) from None


def _with_secret(call: Call, answer: Answer) -> Answer:
    """A success with the secret that it is about; a refusal as it is."""
    shown = orjson.loads(answer.body)
    if "secret" not in shown:
        return answer
    key_id = answer.headers[_KEY_ID]
    endpoint_id, number = UUID(shown["id"]), shown["secret_number"]
    try:
        secret = call.deps.keyring.secret(endpoint_id, number, key_id)
    except NoKey:
        detail = "this ingress has no more the key that the secret was made with"
        raise Problem(UNAVAILABLE, detail, headers=RETRY_SOON) from None
    headers = {name: value for name, value in answer.headers.items() if name != _KEY_ID}
    return replace(answer, headers=headers, body=orjson.dumps({**shown, "secret": secret}))


def _created(result: Result) -> Answer:
    assert isinstance(result, WebhookEndpoint), "a webhook endpoint was asked for"
    location = {"Location": f"/api/v1/webhook-endpoints/{result.id}", _KEY_ID: result.key_id}
    return json_answer(201, NewWebhookSecretResponse.unsigned(result), location)


def _rotated(result: Result) -> Answer:
    assert isinstance(result, WebhookEndpoint), "a rotation gives the endpoint"
    return json_answer(200, NewWebhookSecretResponse.unsigned(result), {_KEY_ID: result.key_id})


def _shown(result: Result) -> Answer:
    assert isinstance(result, WebhookEndpoint), "a change gives the endpoint"
    return json_answer(200, WebhookEndpointResponse.shown(result))


def _tested(result: Result) -> Answer:
    assert isinstance(result, WebhookTest), "a test gives what is sent"
    test = WebhookTestResponse(event_id=result.event_id, delivery_id=result.delivery_id)
    return json_answer(202, test)


# Kept with the answer, and not given away: which key derives the secret again.
_KEY_ID: Final = "X-Key-Id"
_ENDPOINTS: Final = Listing(
    read=webhook_endpoints_page,
    order=BY_ID,
    position=lambda known: known.endpoint.id,
    page=Page[WebhookEndpointResponse],
    row=WebhookEndpointResponse.of,
)
_COLLECTION: Final = "/api/v1/webhook-endpoints"
_ONE: Final = _COLLECTION + "/{id}"
_TAG: Final = "Webhooks"

ROUTES: Final = (
    Route(
        method="POST",
        path=_COLLECTION,
        handler=create_webhook_endpoint,
        scope=Scope.WEBHOOKS_WRITE,
        summary="Have events sent to a URL from now on; the answer has the signing secret.",
        tag=_TAG,
        body=CreateWebhookEndpointBody,
        key_use=KeyUse.ACCEPTED,
        refusals=(409,),
        successes={
            201: Success(
                "The endpoint.", NewWebhookSecretResponse, headers={"Location": "Its address."}
            )
        },
    ),
    Route(
        method="GET",
        path=_COLLECTION,
        handler=list_webhook_endpoints,
        scope=Scope.PAYMENTS_READ,
        summary="Webhook endpoints, newest first.",
        tag=_TAG,
        query=WebhookEndpointsQuery,
        successes={200: Success("A page of endpoints.", Page[WebhookEndpointResponse])},
    ),
    Route(
        method="GET",
        path=_ONE,
        handler=get_webhook_endpoint,
        scope=Scope.PAYMENTS_READ,
        summary="A webhook endpoint, and how it is doing.",
        tag=_TAG,
        successes={200: Success("The endpoint.", WebhookEndpointResponse)},
    ),
    Route(
        method="PATCH",
        path=_ONE,
        handler=change_webhook_endpoint,
        scope=Scope.WEBHOOKS_WRITE,
        summary="Change a webhook endpoint, pause it, or enable it again.",
        tag=_TAG,
        body=ChangeWebhookEndpointBody,
        key_use=KeyUse.ACCEPTED,
        successes={200: Success("The endpoint.", WebhookEndpointResponse)},
    ),
    Route(
        method="DELETE",
        path=_ONE,
        handler=delete_webhook_endpoint,
        scope=Scope.WEBHOOKS_WRITE,
        summary="Send nothing to a webhook endpoint any more, for good.",
        tag=_TAG,
        key_use=KeyUse.ACCEPTED,
        successes={200: Success("The endpoint that was.", WebhookEndpointResponse)},
    ),
    Route(
        method="POST",
        path=_ONE + "/rotate-secret",
        handler=rotate_webhook_secret,
        scope=Scope.WEBHOOKS_WRITE,
        summary="Sign by a new secret, and for a while by the present one, too.",
        tag=_TAG,
        body=RotateWebhookSecretBody,
        key_use=KeyUse.ACCEPTED,
        successes={200: Success("The endpoint with its new secret.", NewWebhookSecretResponse)},
    ),
    Route(
        method="POST",
        path=_ONE + "/test",
        handler=send_test_event,
        scope=Scope.WEBHOOKS_WRITE,
        summary="Send a webhook endpoint an event that happened to nobody (`webhook.test`).",
        tag=_TAG,
        key_use=KeyUse.ACCEPTED,
        refusals=(409,),
        successes={202: Success("It is on its way.", WebhookTestResponse)},
    ),
)
