"""What tenants ask of their webhook endpoints, and when one is given up.

What is deleted is not there any more for anybody; whatever else was done can be done again.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final, assert_never

from payments.decision import Context, Decision, RefusalCode, Refused, State
from payments.record import replace
from payments.webhook_endpoint import (
    ChangeWebhookEndpoint,
    CreateWebhookEndpoint,
    DeleteWebhookEndpoint,
    DisableWebhookEndpoint,
    EndpointState,
    ReplayDeliveries,
    RotateWebhookSecret,
    SendTestEvent,
    WebhookCommand,
    WebhookEndpoint,
    WebhookReplay,
    WebhookTest,
)

# Of a tenant: each of its events is sent to each of them.
_ENDPOINTS_MAX: Final = 100


def decide_webhook(command: WebhookCommand, state: State, at: Context) -> Decision | Refused:
    """What follows from a command about an endpoint."""
    if isinstance(command, CreateWebhookEndpoint):
        return _created(command, state, at)
    endpoint = state.webhook_endpoints.get(command.endpoint_id)
    if (
        endpoint is None
        or endpoint.tenant_id != command.tenant_id
        or endpoint.state is EndpointState.DELETED
    ):
        detail = f"there is no webhook endpoint {command.endpoint_id}"
        return Refused(RefusalCode.NOT_FOUND, detail)
    match command:
        case ChangeWebhookEndpoint():
            return _changed(endpoint, command, at)
        case DeleteWebhookEndpoint():
            return _touched(endpoint, command.actor, at, state=EndpointState.DELETED)
        case RotateWebhookSecret():
            return _rotated(endpoint, command, at)
        case SendTestEvent():
            return _tested(endpoint, at)
        case ReplayDeliveries():
            return _replayed(command, at)
        case DisableWebhookEndpoint():
            return _disabled(endpoint, command, at)
        case _:
            assert_never(command)


def _created(command: CreateWebhookEndpoint, state: State, at: Context) -> Decision | Refused:
    if state.endpoint_counts.get(command.tenant_id, 0) >= _ENDPOINTS_MAX:
        return Refused(
            RefusalCode.WEBHOOK_ENDPOINTS_EXHAUSTED,
            f"there are {_ENDPOINTS_MAX} webhook endpoints: delete one first",
        )
    endpoint = WebhookEndpoint(
        id=at.new_id(),
        tenant_id=command.tenant_id,
        url=command.url,
        event_types=command.event_types,
        api_version=command.api_version,
        description=command.description,
        state=EndpointState.ENABLED,
        disabled_reason=None,
        key_id=command.key_id,
        secret_number=1,
        previous_key_id=None,
        previous_secret_until=None,
        changed_by=command.actor,
        created_at=at.now,
        updated_at=at.now,
    )
    return Decision(result=endpoint, webhook_endpoints=(endpoint,))


def _changed(
    endpoint: WebhookEndpoint, command: ChangeWebhookEndpoint, at: Context
) -> Decision | Refused:
    state = command.state or endpoint.state
    return _touched(
        endpoint,
        command.actor,
        at,
        url=endpoint.url if command.url is None else command.url,
        event_types=endpoint.event_types if command.event_types is None else command.event_types,
        description=endpoint.description if command.description is None else command.description,
        state=state,
        disabled_reason=endpoint.disabled_reason if state is EndpointState.DISABLED else None,
    )


def _rotated(endpoint: WebhookEndpoint, command: RotateWebhookSecret, at: Context) -> Decision:
    return _touched(
        endpoint,
        command.actor,
        at,
        key_id=command.key_id,
        secret_number=endpoint.secret_number + 1,
        previous_key_id=endpoint.key_id,
        previous_secret_until=at.now + timedelta(seconds=command.overlap_s),
    )


def _tested(endpoint: WebhookEndpoint, at: Context) -> Decision | Refused:
    if endpoint.state is not EndpointState.ENABLED:
        return Refused(
            RefusalCode.WEBHOOK_ENDPOINT_NOT_ENABLED,
            f"webhook endpoint {endpoint.id} is {endpoint.state.value}: enable it first",
        )
    test = WebhookTest(at.new_id(), at.new_id(), endpoint.tenant_id, endpoint.id, at.now)
    return Decision(result=test, webhook_tests=(test,))


def _replayed(command: ReplayDeliveries, at: Context) -> Decision:
    replay = WebhookReplay(
        id=at.new_id(),
        tenant_id=command.tenant_id,
        endpoint_id=command.endpoint_id,
        delivery_id=command.delivery_id,
        failed_only=command.failed_only,
        created_from=command.created_from,
        created_before=command.created_before,
        requested_by=command.actor,
        requested_at=at.now,
    )
    return Decision(result=replay, webhook_replays=(replay,))


def _disabled(
    endpoint: WebhookEndpoint, command: DisableWebhookEndpoint, at: Context
) -> Decision | Refused:
    if endpoint.state is not EndpointState.ENABLED:
        return Decision(result=endpoint)
    disabled = EndpointState.DISABLED
    return _touched(endpoint, command.actor, at, state=disabled, disabled_reason=command.reason)


def _touched(endpoint: WebhookEndpoint, actor: str, at: Context, **changes: object) -> Decision:
    """The endpoint as it is now; who asks for what is so already changes nothing."""
    changed = replace(endpoint, **changes)  # type: ignore[arg-type]  # each caller names fields
    if changed == endpoint:
        return Decision(result=endpoint)
    told = replace(changed, changed_by=actor, updated_at=at.now, version=endpoint.version + 1)
    return Decision(result=told, webhook_endpoints=(told,))
