"""The path of one vendor request: understand, claim the key, work, journal, answer.

The order is what makes the simulator a witness: the work and its journal line happen in one
step of the event loop, the answer leaves only when the line is on disk, and a scripted fault
strikes exactly before or exactly after that step.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from providers.simulator import wreckage
from providers.simulator.entries import Entry, Record, encode
from providers.simulator.faults import NO_FAULTS, FaultKind, Faults, FaultSpec
from providers.simulator.idempotency import Claim, Kept, Keys

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiohttp import web

    from providers.simulator.entries import Decoders
    from providers.simulator.faults import FaultScript
    from providers.simulator.journal import Journal
    from providers.simulator.testimony import Testimony
    from providers.simulator.webhooks import Webhooks

class Refused(Exception):  # noqa: N818 -- an answer to the client, not a defect of ours
    """The vendor refuses before any work: nothing is written and the key stays free."""

    def __init__(self, error: Record, status: int, code: str) -> None:
        super().__init__(code)
        self.error = error
        self.status = status
        self.code = code


@dataclass(frozen=True, slots=True)
class Wire:
    """A request as it came: `at` in Unix seconds, the body read whole."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    at: float
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What the vendor decided: the answer, what to remember, what to testify.

    A list sets `body`, a read of one object its `subject`; everything else is answered from
    `writes[0]` or `error`, so that a replayed key can be answered from the same records.
    """

    status: int
    outcome: str
    writes: tuple[Record, ...] = ()
    subject: Record | None = None
    body: Mapping[str, object] | None = None
    error: Record | None = None
    keeps_key: bool = False
    effect: str | None = None
    reference: str | None = None
    payment_id: str | None = None
    amount_minor: int | None = None
    currency: str | None = None
    events: tuple[str, ...] = ()

    @property
    def shown(self) -> Record | None:
        """The record the answer is about."""
        return self.subject or (self.writes[0] if self.writes else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A request as the vendor understands it.

    `work` decides it against the present state and may raise Refused; the amount and the
    payment id are known here only to be journalled and matched against faults.
    """

    wire: Wire
    operation: str
    work: Callable[[Faults], Decision]
    key: str | None = None
    fingerprint: str | None = None
    payment_id: str | None = None
    expand: tuple[str, ...] = ()
    minimal: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """Bytes for the client."""

    status: int
    body: bytes
    headers: Mapping[str, str]


class Vendor(Protocol):
    """What the exchange needs of a vendor; a vendor never awaits."""

    name: str
    keys: Keys
    decoders: Decoders

    def new_request_id(self) -> str: ...
    def understand(self, wire: Wire) -> Ask: ...
    def repeat(self, ask: Ask, kept: Kept) -> Decision: ...
    def key_in_use(self, ask: Ask) -> Decision: ...
    def broken(self, spec: FaultSpec) -> Decision: ...
    def spoiled(self, decision: Decision, spec: FaultSpec) -> Decision: ...
    def apply(self, entry: Entry) -> None: ...
    def answer(self, ask: Ask, decision: Decision, *, replayed: bool) -> Answer: ...
    def refusal(self, wire: Wire, refused: Refused) -> Answer: ...


@dataclass(slots=True)
class Exchange:
    """Answers requests of both vendors; `latency_s` is the vendor's ordinary slowness."""

    journal: Journal
    faults: FaultScript
    testimony: Testimony
    webhooks: Webhooks
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
            return wreckage.response(answer)
        return await self._answer(vendor, ask, request)

    def replay(self, vendors: Mapping[str, Vendor], entry: Entry) -> None:
        """Make a journalled entry part of the state again."""
        self.last_seq = entry.seq
        vendors[entry.vendor].apply(entry)
        self.testimony.apply(entry)

    async def _answer(
        self, vendor: Vendor, ask: Ask, request: web.Request
    ) -> web.StreamResponse:
        faults = self.faults.draw(vendor.name, ask.operation, ask.payment_id)
        spec = faults.replacing
        if spec is not None and spec.kind in _BEFORE:
            answer = await self._settle(vendor, ask, vendor.broken(spec), faults)
            return await wreckage.deliver(answer, spec, request, self.stopping)
        key = None if faults.has(FaultKind.IGNORE_KEY) else ask.key
        claim = vendor.keys.claim(key, ask.wire.at) if key is not None else Claim.FRESH
        if isinstance(claim, Kept):
            repeated = vendor.repeat(ask, claim)
            answer = await self._settle(vendor, ask, repeated, faults, replayed=True)
        elif claim is Claim.IN_USE:
            answer = await self._settle(vendor, ask, vendor.key_in_use(ask), faults)
        else:
            answer = await self._work(vendor, ask, faults, key)
        return await wreckage.deliver(answer, spec, request, self.stopping)

    async def _work(self, vendor: Vendor, ask: Ask, faults: Faults, key: str | None) -> Answer:
        """Decide and settle under a claimed key, which is released whatever happens."""
        try:
            if delay_s := self.latency_s + faults.latency_s:
                await asyncio.sleep(delay_s)
            decision = _decide(ask, faults)
            spec = faults.replacing
            if spec is None or spec.kind is not FaultKind.ERROR_AFTER:
                return await self._settle(vendor, ask, decision, faults)
            await self._settle(vendor, ask, vendor.spoiled(decision, spec), faults)
            return vendor.answer(ask, vendor.broken(spec), replayed=False)
        finally:
            if key is not None:
                vendor.keys.release(key)

    async def _settle(
        self,
        vendor: Vendor,
        ask: Ask,
        decision: Decision,
        faults: Faults,
        *,
        replayed: bool = False,
    ) -> Answer:
        """Make the decision the state, wait until it is on disk, tell the world."""
        self.last_seq += 1
        entry = _entry(self.last_seq, vendor.name, ask, decision, faults, replayed)
        vendor.apply(entry)
        self.testimony.apply(entry)
        answer = vendor.answer(ask, decision, replayed=replayed)
        await self.journal.append(encode(entry))
        self.webhooks.announce(vendor.name, entry, faults)
        return answer


_BEFORE: Final = {
    FaultKind.RATE_LIMIT,
    FaultKind.ERROR_BEFORE,
    FaultKind.RESET_BEFORE,
    FaultKind.HANG_BEFORE,
}


def _decide(ask: Ask, faults: Faults) -> Decision:
    try:
        return ask.work(faults)
    except Refused as refused:
        return _refusal(refused)


def _refusal(refused: Refused) -> Decision:
    return Decision(status=refused.status, outcome=refused.code, error=refused.error)


def _never(_faults: Faults) -> Decision:
    raise AssertionError("a refused request has no work")


def _entry(  # noqa: PLR0913 -- one place where everything known about a request meets
    seq: int, vendor: str, ask: Ask, decision: Decision, faults: Faults, replayed: bool
) -> Entry:
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
        replayed=replayed,
        fault=str(faults) or None,
        payment_id=decision.payment_id or ask.payment_id,
        amount_minor=decision.amount_minor,
        currency=decision.currency,
        effect=decision.effect,
        reference=decision.reference,
        events=decision.events,
        writes=decision.writes,
        error=decision.error,
    )
