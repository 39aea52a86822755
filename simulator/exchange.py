"""The path of one vendor request: understand, claim the key, work, journal, answer.

The order is what makes the simulator a witness: the work and its journal line happen in one
step of the event loop, the answer leaves only when the line is on disk, and a scripted fault
strikes exactly before or exactly after that step.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

from aiohttp import web

from simulator import responses
from simulator.dashboard import Action
from simulator.entries import Entry, encode
from simulator.faults import NO_FAULTS, OF_WEBHOOKS, FaultKind, Faults, FaultScript
from simulator.idempotency import Claim, Kept
from simulator.journal import Journal
from simulator.journal_report import JournalReport
from simulator.vendor import Answer, Ask, Decision, Refused, Vendor, Wire
from simulator.webhooks import Webhooks
from telemetry.metrics.pipeline import SimulatorMetrics

DecisionT = TypeVar("DecisionT")


@dataclass(frozen=True, slots=True)
class Acted:
    """What came of an action in a dashboard, with the vendor's object or refusal."""

    decision: Decision
    answer: Answer


@dataclass(slots=True)
class Exchange:
    """Answers requests of all vendors; `latency_s` is the vendor's ordinary slowness."""

    journal: Journal
    faults: FaultScript
    report: JournalReport
    webhooks: Webhooks
    metrics: SimulatorMetrics
    now: Callable[[], float]
    stopping: asyncio.Event
    latency_s: float
    last_seq: int = 0

    async def handle(self, vendor: Vendor, request: web.Request) -> web.StreamResponse:
        """Answer one HTTP request as the vendor would."""
        wire = Wire(
            method=request.method,
            path=request.path,
            query=request.query_string,
            headers=request.headers,
            body=await request.read(),
            at=self.now(),
            request_id=vendor.new_request_id(),
        )
        try:
            ask = vendor.understand(wire)
        except Refused as refused:
            ask = Ask(wire=wire, operation="refused", work=_never)
            answer = await self._settle(vendor, ask, _refusal(refused), NO_FAULTS)
            return responses.response(answer)
        return await self._answer(vendor, ask, request)

    async def act(self, vendor: Vendor, action: Action, subject: str) -> Acted | None:
        """Do in the vendor's dashboard; None when it has no such thing to do this with.

        A refusal is no part of the journal. Of the faults only those of webhooks strike: nobody
        made a request. Raises NotOffered.
        """
        at, operation = self.now(), action.operation
        decision = _decided(partial(vendor.act, action, subject, at))
        if decision is None:
            return None
        wire = Wire("POST", f"/_simulator/{operation}", "", {}, b"", at, vendor.new_request_id())
        ask = Ask(wire=wire, operation=operation, work=_never)
        if decision.error is not None:
            return Acted(decision, vendor.answer(ask, decision))
        faults = self.faults.draw(vendor.name, operation, decision.payment_id, OF_WEBHOOKS)
        return Acted(decision, await self._settle(vendor, ask, decision, faults))

    def replay(self, vendors: Mapping[str, Vendor], entry: Entry) -> None:
        """Make a journalled entry part of the state again."""
        self.last_seq = entry.seq
        vendors[entry.vendor].apply(entry)
        self.report.apply(entry)

    async def _answer(self, vendor: Vendor, ask: Ask, request: web.Request) -> web.StreamResponse:
        faults = self.faults.draw(vendor.name, ask.operation, ask.payment_id)
        spec = faults.replacing
        if spec is not None and spec.kind in _BEFORE:
            answer = await self._settle(vendor, ask, vendor.broken(spec), faults)
            return await responses.deliver(
                responses.scripted(answer, spec.body, spec.headers), spec, request, self.stopping
            )
        key = None if faults.has(FaultKind.IGNORE_KEY) else ask.key
        claim = vendor.keys.claim(key, ask.wire.at) if key is not None else Claim.FRESH
        if isinstance(claim, Kept):
            repeated = vendor.repeat(ask, claim)
            answer = await self._settle(vendor, ask, repeated, faults)
            if repeated.error is claim.error:
                answer = responses.scripted(answer, claim.scripted, {})
        elif claim is Claim.IN_USE:
            answer = await self._settle(vendor, ask, vendor.key_in_use(ask), faults)
        else:
            answer = await self._work(vendor, ask, faults, key)
        return await responses.deliver(answer, spec, request, self.stopping)

    async def _work(self, vendor: Vendor, ask: Ask, faults: Faults, key: str | None) -> Answer:
        """Decide and settle under a claimed key, which is released whatever happens."""
        try:
            if delay_s := self.latency_s + faults.latency_s:
                await asyncio.sleep(delay_s)
            decision = _decided(partial(ask.work, faults))
            spec = faults.replacing
            if spec is not None and spec.kind is FaultKind.ERROR_AFTER:
                await self._settle(vendor, ask, vendor.spoiled(decision, spec), faults)
                answer = vendor.answer(ask, vendor.broken(spec))
                return responses.scripted(answer, spec.body, spec.headers)
            began = decision.error is None or decision.keeps_key
            if spec is not None and spec.kind is FaultKind.ERROR_DURING and began:
                answer = await self._settle(vendor, ask, vendor.broken(spec), faults)
                return responses.scripted(answer, spec.body, spec.headers)
            return await self._settle(vendor, ask, decision, faults)
        finally:
            if key is not None:
                vendor.keys.release(key)

    async def _settle(self, vendor: Vendor, ask: Ask, decision: Decision, faults: Faults) -> Answer:
        """Make the decision the state, wait until it is on disk, tell the world."""
        self.last_seq += 1
        entry = _entry(self.last_seq, vendor.name, ask, decision, faults)
        vendor.apply(entry)
        self.report.apply(entry)
        answer = vendor.answer(ask, decision)
        with self.metrics.journal_seconds.time():
            await self.journal.append(encode(entry))
        self._count(entry)
        self.webhooks.announce(vendor.deliveries(entry), faults)
        return answer

    def _count(self, entry: Entry) -> None:
        status = f"{entry.status // 100}xx"
        self.metrics.requests.labels(entry.vendor, entry.operation, status).inc()
        if entry.effect is not None:
            self.metrics.effects.labels(entry.vendor, entry.effect).inc()


_BEFORE: Final = {
    FaultKind.RATE_LIMIT,
    FaultKind.ERROR_BEFORE,
    FaultKind.RESET_BEFORE,
    FaultKind.HANG_BEFORE,
}


def _decided(work: Callable[[], DecisionT]) -> DecisionT | Decision:
    """What was decided, a refusal too."""
    try:
        return work()
    except Refused as refused:
        return _refusal(refused)


def _refusal(refused: Refused) -> Decision:
    return Decision(status=refused.status, outcome=refused.code, error=refused.error)


def _never(_faults: Faults) -> Decision:
    raise AssertionError("what nobody asked for, or was refused, has no work")


def _entry(seq: int, vendor: str, ask: Ask, decision: Decision, faults: Faults) -> Entry:
    wire = ask.wire
    return Entry(
        seq=seq,
        at=wire.at,
        vendor=vendor,
        operation=ask.operation,
        method=wire.method,
        path=wire.path,
        request_id=wire.request_id,
        status=decision.status,
        outcome=decision.outcome,
        key=ask.key,
        fingerprint=ask.fingerprint,
        keeps_key=decision.keeps_key and ask.key is not None,
        replayed=decision.replayed,
        fault=str(faults) or None,
        payment_id=decision.payment_id or ask.payment_id,
        amount_minor=decision.amount_minor,
        currency=decision.currency,
        effect=decision.effect,
        reference=decision.reference,
        refund_id=decision.refund_id,
        released_minor=decision.released_minor,
        dispute=decision.dispute,
        events=decision.events,
        writes=decision.writes,
        error=decision.error,
        scripted=faults.replacing.body if faults.replacing and decision.error else None,
    )
