"""An endpoint that a tenant's events are posted to, and what may be asked of it.

Its signing secret is nowhere: it is derived from the endpoint's id and the secret's number with a
key that only processes have, so a row names the key (`key_id`) and counts the secrets.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from payments.needs import Needs
from payments.record import Struct

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID


class EndpointState(StrEnum):
    """What becomes of its events: sent; kept until it is enabled; none of both, two times."""

    ENABLED = "enabled"
    PAUSED = "paused"
    DISABLED = "disabled"
    DELETED = "deleted"


class WebhookEndpoint(Struct, frozen=True, kw_only=True):
    """`event_types` are those it is sent, all of them if it names none.

    Until `previous_secret_until` what is sent is signed by the secret before, too, which was
    derived with the key `previous_key_id`.
    """

    id: UUID
    tenant_id: str
    url: str
    event_types: tuple[str, ...]
    api_version: str
    description: str
    state: EndpointState
    disabled_reason: str | None
    key_id: str
    secret_number: int
    previous_key_id: str | None
    previous_secret_until: datetime | None
    changed_by: str
    created_at: datetime
    updated_at: datetime
    version: int = 1


class WebhookTest(Struct, frozen=True):
    """An event that happened to nobody, for one endpoint."""

    event_id: UUID
    delivery_id: UUID
    tenant_id: str
    endpoint_id: UUID
    occurred_at: datetime


class WebhookReplay(Struct, frozen=True, kw_only=True):
    """Which deliveries of an endpoint are to be sent again: one, or what failed, or all of a time.

    Without `delivery_id` those that were made at or after `created_from` and before
    `created_before`, of which None bounds nothing.
    """

    id: UUID
    tenant_id: str
    endpoint_id: UUID
    delivery_id: UUID | None
    failed_only: bool
    created_from: datetime | None
    created_before: datetime | None
    requested_by: str
    requested_at: datetime


class CreateWebhookEndpoint(Struct, frozen=True, kw_only=True):
    """Have a tenant's events sent somewhere from now on, signed by a secret of the key's."""

    tenant_id: str
    url: str
    event_types: tuple[str, ...]
    api_version: str
    description: str
    key_id: str
    actor: str

    def needs(self) -> Needs:
        """How many there are: the endpoint itself is new."""
        return Needs(endpoints_of=(self.tenant_id,))


class ChangeWebhookEndpoint(Struct, frozen=True, kw_only=True):
    """What is None stays as it is; `state` is enabled or paused."""

    tenant_id: str
    endpoint_id: UUID
    actor: str
    url: str | None = None
    event_types: tuple[str, ...] | None = None
    description: str | None = None
    state: EndpointState | None = None

    def needs(self) -> Needs:
        """The endpoint."""
        return Needs(endpoint_ids=(self.endpoint_id,))


class DeleteWebhookEndpoint(Struct, frozen=True, kw_only=True):
    """Send nothing there any more, for good."""

    tenant_id: str
    endpoint_id: UUID
    actor: str

    def needs(self) -> Needs:
        """The endpoint."""
        return Needs(endpoint_ids=(self.endpoint_id,))


class RotateWebhookSecret(Struct, frozen=True, kw_only=True):
    """Sign by a new secret of the key's, and for `overlap_s` seconds by the present one, too."""

    tenant_id: str
    endpoint_id: UUID
    overlap_s: float
    key_id: str
    actor: str

    def needs(self) -> Needs:
        """The endpoint."""
        return Needs(endpoint_ids=(self.endpoint_id,))


class SendTestEvent(Struct, frozen=True, kw_only=True):
    """Send it an event that happened to nobody."""

    tenant_id: str
    endpoint_id: UUID

    def needs(self) -> Needs:
        """The endpoint."""
        return Needs(endpoint_ids=(self.endpoint_id,))


class ReplayDeliveries(Struct, frozen=True, kw_only=True):
    """Have deliveries of an endpoint sent again, as `WebhookReplay` has them."""

    tenant_id: str
    endpoint_id: UUID
    actor: str
    delivery_id: UUID | None = None
    failed_only: bool = False
    created_from: datetime | None = None
    created_before: datetime | None = None

    def needs(self) -> Needs:
        """The endpoint."""
        return Needs(endpoint_ids=(self.endpoint_id,))


class DisableWebhookEndpoint(Struct, frozen=True, kw_only=True):
    """Give it up: it has asked for that (410), or nothing was taken for days."""

    tenant_id: str
    endpoint_id: UUID
    reason: str
    actor: str

    def needs(self) -> Needs:
        """The endpoint."""
        return Needs(endpoint_ids=(self.endpoint_id,))


WebhookCommand = (
    CreateWebhookEndpoint
    | ChangeWebhookEndpoint
    | DeleteWebhookEndpoint
    | RotateWebhookSecret
    | SendTestEvent
    | ReplayDeliveries
    | DisableWebhookEndpoint
)
