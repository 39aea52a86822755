"""Receives the providers' webhooks: verifies them, and takes them as hints to ask.

Answered 2xx is what Postgres has recorded, or what says nothing of ours. Everything that a
later delivery may mend (Postgres away, the provider unable to verify or to answer) is 503,
because providers deliver again for days: their queue is the one that survives us.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, assert_never

import structlog
from aiohttp import web

from payments.commands import NotifyPayment, NotifyRefund, ObservePayment
from payments.decision import Refused
from payments.notification import NotificationEffect, NotificationTaken
from payments.outcome import NotFound, Retriable, Unknown
from payments.standing import Standing
from process.clients import NOBODY, Proxies
from providers.gateway import PROVIDER_FAULTS, StandingQuery, Trouble
from providers.notifications import (
    PaymentNotification,
    ReferenceNotification,
    RefundNotification,
    Verdict,
)
from store.write.group_commit import Overloaded, StoreUnavailable, Submission

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from aiohttp.typedefs import Handler
    from prometheus_client import Gauge

    from payments.commands import Command
    from providers.gateway import Gateway
    from providers.notifications import Notification, WebhookSource
    from store.write.group_commit import GroupCommitter
    from telemetry.metrics import Metrics

log = structlog.get_logger()

# Stripe's and PayPal's events are a few kilobytes.
_BODY_BYTES_MAX: Final = 256 * 1024
_BODY_WITHIN_S: Final = 10.0
_RETRY_AFTER: Final = {"Retry-After": "10"}
# Providers give up after ten seconds or more, and then count a failure.
_PATIENCE_S: Final = 6.0
_TROUBLE: Final = frozenset({NotificationEffect.CONTRADICTION, NotificationEffect.UNRESOLVED})
# The provider did not say what it knows. Any other `Unknown` is all that it will ever say.
_TELLS_LATER: Final = PROVIDER_FAULTS | {Trouble.IN_PROGRESS, Trouble.PENDING}


@dataclass(frozen=True, slots=True)
class Receiver:
    """Takes what `sources` vouch for; `gateways` are asked where a hint is doubted."""

    committer: GroupCommitter
    gateways: Mapping[str, Gateway]
    metrics: Metrics
    proxies: Proxies = NOBODY

    @property
    def certificate_refused(self) -> Gauge:
        """Set while a changed certificate is no good."""
        return self.metrics.certificate_refused

    def no_room(self) -> None:
        """A connection was cut off at once: as many as may be are open, and all of them busy."""
        self.metrics.http.rejected.labels("connections").inc()

    def refuse_connection(self, error: BaseException | None) -> web.Response:
        """The answer to what is no HTTP request, and so to no provider."""
        log.info("unreadable request", reason=type(error).__name__)
        return web.json_response({"outcome": "refused"}, status=HTTPStatus.BAD_REQUEST)

    async def receive(self, source: WebhookSource, request: web.Request) -> web.Response:
        """One delivery, answered."""
        structlog.contextvars.bind_contextvars(client=self.proxies.client_of(request))
        payload = await _body(request)
        if isinstance(payload, HTTPStatus):
            status, outcome = payload, "refused"
        else:
            verdict = await source.verify(request.headers, payload)
            status, outcome = await self._judged(source, verdict, payload)
        self.metrics.webhooks.received.labels(source.name, outcome).inc()
        again = status is HTTPStatus.SERVICE_UNAVAILABLE
        return web.json_response(
            {"outcome": outcome}, status=status, headers=_RETRY_AFTER if again else None
        )

    async def _judged(
        self, source: WebhookSource, verdict: Verdict, payload: bytes
    ) -> tuple[HTTPStatus, str]:
        if verdict is Verdict.UNDECIDED:
            log.warning("webhook could not be verified now", provider=source.name)
            return HTTPStatus.SERVICE_UNAVAILABLE, "undecided"
        if verdict is not Verdict.VALID:
            log.warning("webhook refused", provider=source.name, verdict=verdict.value)
            return HTTPStatus.BAD_REQUEST, "refused"
        try:
            notification = source.read(payload)
        except ValueError as error:
            log.warning("webhook unreadable", provider=source.name, error=str(error))
            return HTTPStatus.BAD_REQUEST, "refused"
        if notification is None:
            return HTTPStatus.OK, "irrelevant"
        with structlog.contextvars.bound_contextvars(**_named(notification)):
            return await self._taken(notification)

    async def _taken(self, notification: Notification) -> tuple[HTTPStatus, str]:
        try:
            effect = await self._effect(notification)
        except (StoreUnavailable, Overloaded) as error:
            log.warning("webhook put off: the store is away", error=str(error))
            return HTTPStatus.SERVICE_UNAVAILABLE, "unavailable"
        if effect is None:
            return HTTPStatus.OK, "not_ours"
        if effect is NotificationEffect.DOUBTED:
            return HTTPStatus.SERVICE_UNAVAILABLE, "undecided"
        say = log.error if effect in _TROUBLE else log.info
        say("webhook taken", effect=effect.value, said=notification.event.reported.value)
        return HTTPStatus.OK, effect.value

    async def _effect(self, notification: Notification) -> NotificationEffect | None:
        """What became of it: DOUBTED while nobody can tell, None for what is not ours."""
        if isinstance(notification, ReferenceNotification):
            return await self._identified(notification)
        hinted = await self._submit(_hint(notification))
        if hinted is None or hinted.effect is not NotificationEffect.DOUBTED:
            return hinted.effect if hinted else None
        payment = hinted.payment
        if payment.operation is not None:
            return hinted.effect  # delivered again, when that has ended
        assert payment.provider is not None, "a notification is about an external payment"
        found = await looked_at(self.gateways[payment.provider], payment.id, hinted.references)
        if found is None:
            return hinted.effect
        observed = await self._submit(
            ObservePayment(payment.id, notification.event, found, payment.version)
        )
        return observed.effect if observed else None

    async def _identified(self, told: ReferenceNotification) -> NotificationEffect | None:
        """What became of what names nothing of ours: its provider knows whose it is."""
        gateway = self.gateways[told.event.provider]
        found = await looked_at(gateway, None, (told.reference,))
        if found is None:
            return NotificationEffect.DOUBTED
        if not isinstance(found, Standing) or found.payment_id is None:
            return None
        # As for any other, with the names that we have for it too.
        return await self._effect(PaymentNotification(told.event, found.payment_id))

    async def _submit(self, command: Command) -> NotificationTaken | None:
        result = (await self.committer.submit(Submission(command), _PATIENCE_S)).result
        if isinstance(result, Refused):
            log.info("webhook is not about ours", detail=result.detail)
            return None
        assert isinstance(result, NotificationTaken), "a hint's result says what became of it"
        return result


async def looked_at(
    gateway: Gateway, payment_id: UUID | None, references: Sequence[str]
) -> Standing | NotFound | Unknown | None:
    """How it stands by all its names; None while the provider does not say."""
    names = references or (None,)
    standing: Standing | NotFound = NotFound()
    for each in names:
        query = StandingQuery(payment_id=payment_id, provider_reference=each)
        match await gateway.look(query):
            case Standing() as shown:
                known = standing if isinstance(standing, Standing) else shown
                standing = known.with_all_of(shown)
            case NotFound():
                continue
            case Retriable(Trouble.MISSING, message):
                # What the event names is not there, though the provider itself named it.
                return Unknown(Trouble.MISSING, message)
            case Unknown(code) as nothing_learnt if code not in _TELLS_LATER:
                return nothing_learnt
            case _:
                return None
    return standing


def application(receiver: Receiver, sources: Sequence[WebhookSource]) -> web.Application:
    """`POST /webhooks/<name>` for each source; what has no secret has no address."""
    app = web.Application(client_max_size=_BODY_BYTES_MAX)
    for source in sources:
        app.router.add_post(f"/webhooks/{source.name}", _endpoint(receiver, source))
    return app


def _endpoint(receiver: Receiver, source: WebhookSource) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        return await receiver.receive(source, request)

    return handle


async def _body(request: web.Request) -> bytes | HTTPStatus:
    try:
        async with asyncio.timeout(_BODY_WITHIN_S):
            return await request.read()
    except TimeoutError:
        return HTTPStatus.REQUEST_TIMEOUT
    except web.HTTPRequestEntityTooLarge:
        return HTTPStatus.REQUEST_ENTITY_TOO_LARGE


def _hint(notification: PaymentNotification | RefundNotification) -> NotifyPayment | NotifyRefund:
    match notification:
        case PaymentNotification(event, payment_id):
            return NotifyPayment(payment_id, event)
        case RefundNotification(event, refund_id):
            return NotifyRefund(refund_id, event)
        case _:
            assert_never(notification)


def _named(notification: Notification) -> dict[str, str]:
    """What every log line about it says."""
    event = notification.event
    named = {"provider": event.provider, "event_id": event.id, "event_type": event.type}
    match notification:
        case PaymentNotification(_, payment_id):
            return {**named, "payment_id": str(payment_id)}
        case RefundNotification(_, refund_id):
            return {**named, "refund_id": str(refund_id)}
        case ReferenceNotification(_, reference):
            return {**named, "reference": reference}
        case _:
            assert_never(notification)
