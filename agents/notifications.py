"""Receives the providers' webhooks: verifies them, and takes them as hints to ask.

Answered 2xx is what Postgres has recorded, or what says nothing of ours. Everything that a
later delivery may mend (Postgres away, the provider unable to verify or to answer) is 503,
because providers deliver again for days: their queue is the one that survives us.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, assert_never

import structlog
from aiohttp import web

from payments.attempt import provider_key
from payments.commands import ComparePayment, CompareRefund, NotifyPayment, NotifyRefund
from payments.decision import Refused
from payments.notification import NotificationEffect, NotificationTaken
from payments.outcome import Deferred, Retriable, Unknown, Unresolvable
from process.serving import drain, runner_of
from providers.gateway import PROVIDER_FAULTS, Inquiry, Trouble
from providers.notifications import PaymentNotification, RefundNotification, Verdict
from store.write.group_commit import Overloaded, StoreUnavailable, Submission

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from aiohttp.typedefs import Handler

    from payments.commands import Command
    from payments.outcome import Finding
    from providers.gateway import Gateway
    from providers.notifications import Notification, WebhookSource
    from store.write.group_commit import GroupCommitter
    from telemetry.metrics import Metrics

log = structlog.get_logger()

# Stripe's and PayPal's events are a few kilobytes.
_BODY_BYTES_MAX: Final = 256 * 1024
_BODY_WITHIN_S: Final = 10.0
_RETRY_AFTER: Final = {"Retry-After": "10"}
_TROUBLE: Final = frozenset({NotificationEffect.CONTRADICTION, NotificationEffect.UNRESOLVED})
# The provider did not say what it knows. Any other `Unknown` is all that it will ever say.
_TELLS_LATER: Final = PROVIDER_FAULTS | {Trouble.IN_PROGRESS, Trouble.PENDING}


@dataclass(frozen=True, slots=True)
class Receiver:
    """Takes what `sources` vouch for; `gateways` are asked where a hint is doubted."""

    committer: GroupCommitter
    gateways: Mapping[str, Gateway]
    metrics: Metrics

    async def receive(self, source: WebhookSource, request: web.Request) -> web.Response:
        """One delivery, answered."""
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
        hinted = await self._submit(_hint(notification))
        if hinted is None or hinted.question is None:
            return hinted.effect if hinted else None
        found = await self._found(hinted)
        if found is None:
            return NotificationEffect.DOUBTED
        confronted = await self._submit(_confronting(notification, hinted, found))
        return confronted.effect if confronted else None

    async def _submit(self, command: Command) -> NotificationTaken | None:
        result = (await self.committer.submit(Submission(command))).result
        if isinstance(result, Refused):
            log.info("webhook is not about ours", detail=result.detail)
            return None
        assert isinstance(result, NotificationTaken), "a hint's result says what became of it"
        return result

    async def _found(self, hinted: NotificationTaken) -> Finding | None:
        """What the provider says when it is asked; None when it does not say."""
        question, payment, refund = hinted.question, hinted.payment, hinted.refund
        assert question is not None, "only a doubt is asked about"
        assert payment.provider is not None, "a notification is about an external payment"
        subject_id = refund.id if refund else payment.id
        answer = await self.gateways[payment.provider].inquire(
            Inquiry(
                payment_id=payment.id,
                idempotency_key=provider_key(question.operation, subject_id),
                operation=question.operation,
                amount=question.amount,
                provider_reference=question.reference,
                refund_id=refund.id if refund else None,
            )
        )
        match answer:
            case Retriable(Trouble.MISSING, message):
                # What the event names is not there, though the provider itself named it.
                return Unknown(Trouble.MISSING, message)
            case Retriable() | Deferred():
                return None
            case Unknown(code) if code in _TELLS_LATER:
                return None
            case Unresolvable(code, message):
                return Unknown(code, message)
            case _:
                return answer


def application(receiver: Receiver, sources: Sequence[WebhookSource]) -> web.Application:
    """`POST /webhooks/<name>` for each source; what has no secret has no address."""
    app = web.Application(client_max_size=_BODY_BYTES_MAX)
    for source in sources:
        app.router.add_post(f"/webhooks/{source.name}", _endpoint(receiver, source))
    return app


@asynccontextmanager
async def serving(
    app: web.Application, host: str, port: int, drain_s: float = 1.0
) -> AsyncIterator[int]:
    """Listen; yields the port, a free one for 0. Leaving finishes what has begun, within a time."""
    runner = runner_of(app, drain_s)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield runner.addresses[0][1]
    finally:
        await drain(runner, drain_s)


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


def _hint(notification: Notification) -> NotifyPayment | NotifyRefund:
    match notification:
        case PaymentNotification(event, payment_id):
            return NotifyPayment(payment_id, event)
        case RefundNotification(event, refund_id):
            return NotifyRefund(refund_id, event)
        case _:
            assert_never(notification)


def _confronting(
    notification: Notification, hinted: NotificationTaken, found: Finding
) -> ComparePayment | CompareRefund:
    assert hinted.question is not None, "only an answer to a question confronts"
    if hinted.refund:
        return CompareRefund(hinted.refund.id, notification.event, found)
    operation = hinted.question.operation
    return ComparePayment(hinted.payment.id, notification.event, operation, found)


def _named(notification: Notification) -> dict[str, str]:
    """What every log line about it says."""
    event = notification.event
    named = {"provider": event.provider, "event_id": event.id, "event_type": event.type}
    if isinstance(notification, PaymentNotification):
        return {**named, "payment_id": str(notification.payment_id)}
    return {**named, "refund_id": str(notification.refund_id)}
