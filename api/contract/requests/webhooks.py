"""What clients ask of webhook endpoints: the bodies, the filters, and the command each one is."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Final
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from api.contract.requests.fields import PUBLIC_TYPES, Description, Instant, one_of, refused
from api.contract.requests.queries import PageQuery
from api.http.problems import FieldError, invalid
from api.http.strict_json import Number
from payments.webhook_endpoint import (
    ChangeWebhookEndpoint,
    CreateWebhookEndpoint,
    EndpointState,
    ReplayDeliveries,
    RotateWebhookSecret,
)
from store.read.webhooks import DeliveryState
from topics.contracts.webhook_urls import URL_LENGTH_MAX, Reach
from topics.contracts.webhooks import TEST_EVENT

_STRICT: Final = ConfigDict(extra="forbid", strict=True, frozen=True)
# Long enough to deploy the new one everywhere, over a weekend too.
_OVERLAP_MAX_S: Final = 604_800
_OVERLAP_S: Final = 86_400


class SettableState(StrEnum):
    """What a client may make of an endpoint."""

    ENABLED = "enabled"
    PAUSED = "paused"


class ApiVersion(StrEnum):
    """The version of the payload `payment-event` that is sent."""

    V1 = "v1"


def _known_type(known: tuple[str, ...]) -> BeforeValidator:
    def parse(value: object) -> object:
        if value not in known:
            raise refused("event_type", f"must be one of {', '.join(known)}")
        return value

    return BeforeValidator(parse)


def _seconds(value: object) -> object:
    text = value.text if type(value) is Number else ""
    if not re.fullmatch(r"[0-9]{1,6}", text):
        raise refused("seconds", f"must be a whole number from 0 to {_OVERLAP_MAX_S}")
    return int(text)


Url = Annotated[
    str,
    Field(
        min_length=1,
        max_length=URL_LENGTH_MAX,
        description="Where events are posted to: https, and on the public internet.",
        json_schema_extra={"format": "uri", "examples": ["https://shop.example/webhooks"]},
    ),
]
PublicEventType = Annotated[
    str, _known_type(PUBLIC_TYPES), WithJsonSchema({"type": "string", "enum": [*PUBLIC_TYPES]})
]
SentEventType = Annotated[
    str,
    _known_type((*PUBLIC_TYPES, TEST_EVENT)),
    WithJsonSchema({"type": "string", "enum": [*PUBLIC_TYPES, TEST_EVENT]}),
]
EventTypes = Annotated[
    list[PublicEventType],
    Field(max_length=len(PUBLIC_TYPES), description="Those that are sent; an empty list: all."),
]


class CreateWebhookEndpointBody(BaseModel):
    """An endpoint that events are sent to from now on."""

    model_config = _STRICT

    url: Url
    event_types: EventTypes = Field(default_factory=list)
    api_version: Annotated[ApiVersion, one_of(ApiVersion)] = ApiVersion.V1
    description: Description = ""

    def command(
        self, tenant_id: str, actor: str, key_id: str, reach: Reach
    ) -> CreateWebhookEndpoint:
        """The command. Raises Problem for a URL that nothing can be sent to."""
        return CreateWebhookEndpoint(
            tenant_id=tenant_id,
            url=_acceptable(self.url, reach),
            event_types=tuple(dict.fromkeys(self.event_types)),
            api_version=self.api_version.value,
            description=self.description,
            key_id=key_id,
            actor=actor,
        )


class ChangeWebhookEndpointBody(BaseModel):
    """What is to be otherwise; what is left out stays as it is."""

    model_config = _STRICT

    url: Url | None = None
    event_types: EventTypes | None = None
    description: Description | None = None
    state: Annotated[
        Annotated[SettableState, one_of(SettableState)] | None,
        Field(description="`paused` keeps what happens until it is enabled again."),
    ] = None

    def command(
        self, tenant_id: str, actor: str, endpoint_id: UUID, reach: Reach
    ) -> ChangeWebhookEndpoint:
        """The command. Raises Problem likewise."""
        types = self.event_types
        return ChangeWebhookEndpoint(
            tenant_id=tenant_id,
            endpoint_id=endpoint_id,
            actor=actor,
            url=None if self.url is None else _acceptable(self.url, reach),
            event_types=None if types is None else tuple(dict.fromkeys(types)),
            description=self.description,
            state=None if self.state is None else EndpointState(self.state.value),
        )


class RotateWebhookSecretBody(BaseModel):
    """For how long the present secret signs beside the new one."""

    model_config = _STRICT

    overlap_seconds: Annotated[int, Field(ge=0, le=_OVERLAP_MAX_S), BeforeValidator(_seconds)] = (
        _OVERLAP_S
    )

    def command(
        self, tenant_id: str, actor: str, endpoint_id: UUID, key_id: str
    ) -> RotateWebhookSecret:
        """The command."""
        return RotateWebhookSecret(
            tenant_id=tenant_id,
            endpoint_id=endpoint_id,
            overlap_s=self.overlap_seconds,
            key_id=key_id,
            actor=actor,
        )


class Replayed(StrEnum):
    """Which deliveries of an endpoint: those that were given up, or those that were taken, too."""

    FAILED = "failed"
    ALL = "all"


class ReplayDeliveriesBody(BaseModel):
    """Which deliveries are sent again: those that failed, or all, of a time or of all times."""

    model_config = _STRICT

    deliveries: Annotated[Replayed, one_of(Replayed)] = Replayed.FAILED
    created_from: Annotated[Instant | None, Field(description="None from before.")] = None
    created_before: Annotated[Instant | None, Field(description="None from then on.")] = None

    def command(self, tenant_id: str, actor: str, endpoint_id: UUID) -> ReplayDeliveries:
        """The command."""
        return ReplayDeliveries(
            tenant_id=tenant_id,
            endpoint_id=endpoint_id,
            actor=actor,
            failed_only=self.deliveries is Replayed.FAILED,
            created_from=self.created_from,
            created_before=self.created_before,
        )


class WebhookEndpointsQuery(PageQuery):
    """Which webhook endpoints."""

    state: Annotated[EndpointState, one_of(EndpointState)] | None = None


class WebhookDeliveriesQuery(PageQuery):
    """Which deliveries of an endpoint; all filters apply together."""

    state: Annotated[DeliveryState, one_of(DeliveryState)] | None = None
    event_type: SentEventType | None = None
    created_from: Annotated[Instant | None, Field(alias="created[gte]")] = None
    created_before: Annotated[Instant | None, Field(alias="created[lt]")] = None


def _acceptable(url: str, reach: Reach) -> str:
    reason = reach.refusal(url)
    if reason is not None:
        raise invalid(FieldError(reason, "/url"))
    return url
