"""Sends what is due, from Postgres: claims it with a lease, makes the try, tells what came of it.

Any number of workers share the work. What a killed one had under way is due again when its lease
runs out, so an event may come to an endpoint more than once and is never lost; of one payment's
events each is over, taken or given up, before the next one is sent to the same endpoint.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus
from time import monotonic
from typing import TYPE_CHECKING, Final, TypeVar

import structlog

from agents.deliver.pace import PER_ENDPOINT_MAX, Pace
from agents.deliver.sending import TIMEOUT_S, Answered, Unsent
from agents.durably import submit_durably
from payments.webhook_endpoint import DisableWebhookEndpoint, EndpointState
from payments.webhook_schedule import alone_for, retry_pause
from store.faults import Fault, fault_of
from store.read.webhooks import endpoint_states
from store.write.group_commit import Submission
from store.write.webhook_deliveries import (
    ClaimedDelivery,
    EndedAttempt,
    Wanted,
    claim_webhook_deliveries,
    close_webhook_deliveries,
    endpoints_failed,
    endpoints_took,
    finish_webhook_attempts,
    leave_endpoints_alone,
    replay_webhook_deliveries,
)
from telemetry.tracing import remote_parent
from topics.contracts.webhooks import Keyring, NoKey, body_of, signed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    import asyncpg
    from asyncpg.pool import PoolConnectionProxy
    from opentelemetry.trace import Tracer

    from agents.deliver.sending import Sender
    from payments.webhook_endpoint import WebhookEndpoint
    from store.write.group_commit import GroupCommitter
    from store.write.webhook_deliveries import FailingEndpoint
    from telemetry.metrics import Metrics

log = structlog.get_logger()

_Result = TypeVar("_Result")

# A try, and the time to record it, twice over: a worker that is only slow loses no claim.
LEASE_S: Final = 2 * TIMEOUT_S
# What another worker recorded, and what is due again, is found so soon.
_LOOK_EVERY_S: Final = 0.25
# What comes within that time is claimed at once.
_PACE_S: Final = 0.01
_LOOK_AFTER_EVERY_S: Final = 1.0
_AGAIN_S: Final = 0.5
# We cannot sign: nobody's try, and soon looked at again.
_NO_KEY_S: Final = 60.0
_ACTOR: Final = "agents deliver"
_TOO_EARLY_MS: Final = 0


@dataclass(frozen=True, slots=True)
class _Tried:
    claimed: ClaimedDelivery
    answered: Answered | Unsent
    ended_at: datetime


@dataclass(slots=True, kw_only=True)
class Dispatcher:
    """One worker. `lease_id` names its claims; an endpoint is given up after `disable_after_s`."""

    pool: asyncpg.Pool[asyncpg.Record]
    committer: GroupCommitter
    sender: Sender
    keyring: Keyring
    metrics: Metrics
    tracer: Tracer
    clock: Callable[[], datetime]
    chance: Callable[[], float]
    lease_id: UUID
    disable_after_s: float
    pace: Pace = field(default_factory=lambda: Pace(monotonic))
    _tried: list[_Tried] = field(default_factory=list)
    _something: asyncio.Event = field(default_factory=asyncio.Event)
    _ended: asyncio.Event = field(default_factory=asyncio.Event)
    _is_closing: bool = False
    # Whose replay had a part done last.
    _last_replayed: str = ""
    # What is recorded, and beside that which endpoints are given up.
    _recording: asyncio.TaskGroup = field(default_factory=asyncio.TaskGroup)
    _giving_up: dict[UUID, asyncio.Task[None]] = field(default_factory=dict)

    def wake(self) -> None:
        """There may be something to send."""
        self._something.set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Until told to stop, and what is under way then has ended and is recorded."""
        self.metrics.deliveries.in_flight.set_function(lambda: self.pace.in_flight)
        async with self._recording:
            recorder = self._recording.create_task(self._record())
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._look_after(stopping))
                while not stopping.is_set():
                    began_at = monotonic()
                    for claimed in await self._claimed():
                        self.pace.begin(claimed.endpoint.id, claimed.delivery_id)
                        tasks.create_task(self._try(claimed))
                    # Busy, it claims for half of the time: what is gathered costs less.
                    await asyncio.sleep(max(_PACE_S, monotonic() - began_at))
                    await self._until_something(stopping)
            self._is_closing = True
            self._ended.set()
            await recorder
            for each in self._giving_up.values():
                # It waits for somebody's lock: recorded all the same, or given up by a later try.
                each.cancel()

    async def _until_something(self, stopping: asyncio.Event) -> None:
        told = asyncio.ensure_future(stopping.wait())
        woken = asyncio.ensure_future(self._something.wait())
        await asyncio.wait(
            {told, woken}, timeout=_LOOK_EVERY_S, return_when=asyncio.FIRST_COMPLETED
        )
        told.cancel()
        woken.cancel()
        self._something.clear()

    async def _claimed(self) -> Sequence[ClaimedDelivery]:
        room = self.pace.room
        if room <= 0:
            return ()
        now, rooms = self.clock(), self.pace.rooms()
        wanted = Wanted(
            endpoint_ids=[each.endpoint_id for each in rooms],
            rooms=[each.room for each in rooms],
            are_proven=[each.is_proven for each in rooms],
            room_max=PER_ENDPOINT_MAX,
            unproven_max=self.pace.unproven_room,
            claims_max=room,
            lease_id=self.lease_id,
            leased_until=now + timedelta(seconds=LEASE_S),
        )
        claimed = await self._unless_away(claim_webhook_deliveries(self.pool, wanted, now))
        if claimed:
            # There may be more, of which the first are to be under way.
            self._something.set()
        return claimed or ()

    async def _try(self, claimed: ClaimedDelivery) -> None:
        answered: Answered | Unsent = Answered(_TOO_EARLY_MS, error="it could not be sent")
        try:
            answered = await self._sent(claimed)
        except Exception:
            # Strangers choose where it goes, what it holds and what comes back: what nobody foresaw
            # of that is one more try that was not taken, and ends nobody else's.
            log.exception("a webhook failed as none should", delivery_id=str(claimed.delivery_id))
        finally:
            is_taken = isinstance(answered, Answered) and answered.is_taken
            self.pace.end(claimed.endpoint.id, claimed.delivery_id, is_taken=is_taken)
        self._tried.append(_Tried(claimed, answered, self.clock()))
        self._ended.set()

    async def _sent(self, claimed: ClaimedDelivery) -> Answered | Unsent:
        """What the endpoint answered, or why it was not asked."""
        now = self.clock()
        try:
            secrets = self.keyring.secrets(claimed.endpoint, now)
        except NoKey as error:
            endpoint_id = str(claimed.endpoint.id)
            log.warning("a webhook cannot be signed", endpoint_id=endpoint_id, error=str(error))
            return Unsent("we cannot sign it now", _NO_KEY_S)
        body = body_of(claimed.event_id, claimed.type, claimed.occurred_at, claimed.data)
        headers = signed(claimed.event_id, now, body, secrets)
        with self.tracer.start_as_current_span(
            f"{claimed.type} deliver",
            context=remote_parent(claimed.trace),
            attributes={"webhook.event.id": str(claimed.event_id), "attempt": claimed.number},
        ) as span:
            answered = await self.sender.post(claimed.endpoint.url, headers, body)
            if isinstance(answered, Unsent):
                log.warning("a webhook was not sent", error=answered.error)
                return answered
            if answered.status is not None:
                span.set_attribute("http.response.status_code", answered.status)
        self.metrics.deliveries.seconds.observe(answered.duration_ms / 1000)
        return answered

    async def _record(self) -> None:
        """Tell Postgres what came of tries, those that ended together in one transaction."""
        while self._tried or not self._is_closing:
            await self._ended.wait()
            self._ended.clear()
            tried, self._tried = self._tried, []
            while tried and not await self._unless_away(self._recorded(tried)):
                continue
            # What comes next of the same payments may be sent now.
            self._something.set()

    async def _recorded(self, tried: Sequence[_Tried]) -> bool:
        ended = [self._outcome(each) for each in tried]
        answers = [
            (each.claimed.endpoint, each.answered)
            for each in tried
            if isinstance(each.answered, Answered)
        ]
        async with self.pool.acquire() as connection, connection.transaction():
            await finish_webhook_attempts(connection, self.lease_id, ended)
            failing = await self._judged(connection, answers)
        self._count(tried, ended)
        self._give_up(answers, failing)
        return True

    def _count(self, tried: Sequence[_Tried], ended: Sequence[EndedAttempt]) -> None:
        for outcome in ended:
            self.metrics.deliveries.ended.labels(outcome.state).inc()
        for each in tried:
            claimed = each.claimed
            is_taken = isinstance(each.answered, Answered) and each.answered.is_taken
            if is_taken and claimed.number == 1:
                latency = each.ended_at - claimed.occurred_at
                self.metrics.deliveries.latency.observe(max(0.0, latency.total_seconds()))

    def _outcome(self, tried: _Tried) -> EndedAttempt:
        claimed, answered = tried.claimed, tried.answered
        if isinstance(answered, Unsent):
            again = timedelta(seconds=answered.again_s)
            return self._told(tried, "pending", again, claimed.retry_count)
        if answered.is_taken:
            return self._told(tried, "delivered", None, claimed.retry_count)
        pause = retry_pause(claimed.retry_count, answered.retry_after_s, self.chance())
        if pause is None or answered.status == HTTPStatus.GONE:
            return self._told(tried, "failed", None, claimed.retry_count)
        return self._told(tried, "pending", pause, claimed.retry_count + 1)

    def _told(
        self, tried: _Tried, state: str, pause: timedelta | None, retry_count: int
    ) -> EndedAttempt:
        answered = tried.answered
        if isinstance(answered, Unsent):
            answered = Answered(_TOO_EARLY_MS, error=answered.error)
        return EndedAttempt(
            delivery_id=tried.claimed.delivery_id,
            number=tried.claimed.number,
            duration_ms=answered.duration_ms,
            status=answered.status,
            error=answered.error,
            answer=answered.body,
            state=state,
            due_at=None if pause is None else tried.ended_at + pause,
            retry_count=retry_count,
            ended_at=tried.ended_at,
        )

    async def _judged(
        self,
        connection: PoolConnectionProxy,
        answers: Sequence[tuple[WebhookEndpoint, Answered]],
    ) -> Mapping[UUID, FailingEndpoint]:
        """Of endpoints that took nothing of these, how they stand; they are left alone."""
        took = {endpoint.id for endpoint, answered in answers if answered.is_taken}
        failures = Counter(endpoint.id for endpoint, _ in answers if endpoint.id not in took)
        if took:
            await endpoints_took(connection, took)
        if not failures:
            return {}
        now = self.clock()
        failing = await endpoints_failed(connection, failures, now)
        asked = {
            endpoint.id: answered.retry_after_s
            for endpoint, answered in answers
            if answered.retry_after_s is not None
        }
        alone = {
            each.endpoint_id: now
            + alone_for(each.failure_count, asked.get(each.endpoint_id), self.chance())
            for each in failing
        }
        await leave_endpoints_alone(connection, alone)
        return {each.endpoint_id: each for each in failing}

    def _give_up(
        self,
        answers: Sequence[tuple[WebhookEndpoint, Answered]],
        failing: Mapping[UUID, FailingEndpoint],
    ) -> None:
        """Disable who asks for it, and who has taken nothing for days; no record waits for it."""
        reasons: dict[UUID, tuple[WebhookEndpoint, str]] = {}
        for endpoint, answered in answers:
            known = failing.get(endpoint.id)
            if answered.status == HTTPStatus.GONE:
                reasons[endpoint.id] = endpoint, "it answered 410: it wants nothing any more"
            elif (
                known
                and (self.clock() - known.failing_since).total_seconds() > self.disable_after_s
            ):
                since = f"{known.failing_since:%Y-%m-%d %H:%M}"
                reasons[endpoint.id] = endpoint, f"it has taken nothing since {since} UTC"
        for endpoint, reason in reasons.values():
            if endpoint.id not in self._giving_up:
                disabling = self._recording.create_task(self._disable(endpoint, reason))
                self._giving_up[endpoint.id] = disabling

    async def _disable(self, endpoint: WebhookEndpoint, reason: str) -> None:
        command = DisableWebhookEndpoint(
            tenant_id=endpoint.tenant_id, endpoint_id=endpoint.id, reason=reason, actor=_ACTOR
        )
        await submit_durably(self.committer, Submission(command))
        log.error("webhook endpoint disabled", endpoint_id=str(endpoint.id), reason=reason)
        del self._giving_up[endpoint.id]

    async def _look_after(self, stopping: asyncio.Event) -> None:
        """Replays that are asked for, what waits for endpoints that are gone, and the metrics."""
        while not stopping.is_set():
            while not stopping.is_set() and await self._unless_away(self._replayed()):
                self._something.set()
            await self._unless_away(close_webhook_deliveries(self.pool, self.clock()))
            await self._unless_away(self._measured())
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_AFTER_EVERY_S):
                    await stopping.wait()

    async def _replayed(self) -> bool:
        """Whether a part of what is asked for was replayed, of the tenant whose turn it is."""
        replayed = await replay_webhook_deliveries(self.pool, self.clock(), self._last_replayed)
        self._last_replayed = replayed or ""
        return replayed is not None

    async def _measured(self) -> None:
        async with self.pool.acquire() as connection:
            states = await endpoint_states(connection)
        for state in ("failing", *EndpointState):
            if state != EndpointState.DELETED:
                self.metrics.deliveries.endpoints.labels(state).set(states.get(state, 0))

    async def _unless_away(self, work: Awaitable[_Result]) -> _Result | None:
        """What it comes to; None, and somewhat later, while Postgres does not take it."""
        try:
            return await work
        except Exception as error:
            if fault_of(error) is Fault.BUG:
                raise
            log.warning("deliveries wait for Postgres", error=repr(error))
        await asyncio.sleep(_AGAIN_S)
        return None
