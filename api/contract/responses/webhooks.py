"""A webhook endpoint, what was sent to it, and what came of each try."""

# The annotations are what pydantic reads at run time.
from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final, Self
from uuid import UUID

from pydantic import BaseModel, Field

from api.contract.responses.answers import FROZEN
from payments.webhook_endpoint import EndpointState, WebhookEndpoint, WebhookReplay
from store.read.webhooks import Delivery, DeliveryState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from store.read.webhooks import KnownEndpoint, WebhookAttempt

# A shop that is shown its secret in a list would have it in its logs.
_SHOWN_ONCE: Final = (
    "What the events are signed by (Standard Webhooks), shown in this answer and nowhere else."
)


class WebhookEndpointResponse(BaseModel):
    """An endpoint. While it is failing it is tried again and again, and its events wait."""

    model_config = FROZEN

    id: UUID
    url: str
    event_types: list[str]
    api_version: str
    description: str
    state: EndpointState
    disabled_reason: str | None
    secret_number: int
    previous_secret_until: datetime | None
    failing_since: datetime | None
    failure_count: int
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, known: KnownEndpoint) -> Self:
        """The endpoint as its tenant sees it, and how it is doing."""
        shown = cls.shown(known.endpoint)
        failing = {"failing_since": known.failing_since, "failure_count": known.failure_count}
        return shown.model_copy(update=failing)

    @classmethod
    def shown(cls, endpoint: WebhookEndpoint) -> Self:
        """The endpoint as it was just made or changed."""
        return cls.model_validate(_fields(endpoint))


class NewWebhookSecretResponse(WebhookEndpointResponse):
    """An endpoint with its secret, the only time that it is shown."""

    secret: str = Field(description=_SHOWN_ONCE)

    @classmethod
    def unsigned(cls, endpoint: WebhookEndpoint) -> Self:
        """Without the secret, as it may be kept."""
        return cls.model_validate({**_fields(endpoint), "secret": ""})


def _fields(endpoint: WebhookEndpoint) -> dict[str, object]:
    return {
        "id": endpoint.id,
        "url": endpoint.url,
        "event_types": list(endpoint.event_types),
        "api_version": endpoint.api_version,
        "description": endpoint.description,
        "state": endpoint.state,
        "disabled_reason": endpoint.disabled_reason,
        "secret_number": endpoint.secret_number,
        "previous_secret_until": endpoint.previous_secret_until,
        "failing_since": None,
        "failure_count": 0,
        "created_at": endpoint.created_at,
        "updated_at": endpoint.updated_at,
    }


class WebhookDeliveryResponse(BaseModel):
    """An event on its way to an endpoint; `next_try_at` is when it is sent, if it is not over."""

    model_config = FROZEN

    id: UUID
    webhook_endpoint_id: UUID
    event_id: UUID
    event_type: str
    payment_id: UUID | None
    state: DeliveryState
    next_try_at: datetime | None
    attempt_count: int
    last_status: int | None
    last_error: str | None
    created_at: datetime
    updated_at: datetime
    delivered_at: datetime | None

    @classmethod
    def of(cls, delivery: Delivery) -> Self:
        """The delivery as its tenant sees it."""
        return cls.model_validate(_told(delivery))


class WebhookAttemptResponse(BaseModel):
    """A try. Without `duration_ms` it is under way, or was cut off."""

    model_config = FROZEN

    number: int
    started_at: datetime
    duration_ms: int | None
    status: int | None
    error: str | None
    answer: str = Field(description="The first kilobyte of what it answered.")


class WebhookDeliveryDetailResponse(WebhookDeliveryResponse):
    """A delivery with its tries, the newest first, a hundred at the most."""

    attempts: list[WebhookAttemptResponse]

    @classmethod
    def whole(cls, delivery: Delivery, attempts: Sequence[WebhookAttempt]) -> Self:
        """The delivery with its tries."""
        tries = [
            WebhookAttemptResponse(
                number=each.number,
                started_at=each.started_at,
                duration_ms=each.duration_ms,
                status=each.status,
                error=each.error,
                answer=each.answer.decode("utf-8", "replace"),
            )
            for each in attempts
        ]
        return cls.model_validate({**_told(delivery), "attempts": tries})


def _told(delivery: Delivery) -> dict[str, object]:
    return {
        "id": delivery.id,
        "webhook_endpoint_id": delivery.endpoint_id,
        "event_id": delivery.event_id,
        "event_type": delivery.event_type,
        "payment_id": delivery.payment_id,
        "state": delivery.state,
        "next_try_at": delivery.due_at,
        "attempt_count": delivery.attempt_count,
        "last_status": delivery.last_status,
        "last_error": delivery.last_error,
        "created_at": delivery.created_at,
        "updated_at": delivery.updated_at,
        "delivered_at": delivery.delivered_at,
    }


class WebhookTestResponse(BaseModel):
    """An event that happened to nobody, on its way; its delivery tells what came of it."""

    model_config = FROZEN

    event_id: UUID
    delivery_id: UUID


class WebhookReplayResponse(BaseModel):
    """Deliveries are sent again from now on; those that are under way are not."""

    model_config = FROZEN

    id: UUID
    delivery_id: UUID | None
    failed_only: bool
    created_from: datetime | None
    created_before: datetime | None
    requested_at: datetime

    @classmethod
    def of(cls, replay: WebhookReplay) -> Self:
        """What was asked for."""
        return cls(
            id=replay.id,
            delivery_id=replay.delivery_id,
            failed_only=replay.failed_only,
            created_from=replay.created_from,
            created_before=replay.created_before,
            requested_at=replay.requested_at,
        )
