"""The words the exchange and a vendor share: a request, what it asks, what was decided.

A vendor is pure between requests: it reads its state to decide, and changes them only in
`apply`, from a journal entry. It never awaits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from simulator.dashboard import Action
from simulator.entries import Decoders, DisputeFact, Entry, StoredObject
from simulator.faults import Faults, FaultSpec
from simulator.idempotency import Kept, Keys
from simulator.webhooks import Delivery


class Refused(Exception):
    """The vendor refuses before any work: nothing is written and the key stays free."""

    def __init__(self, error: StoredObject, status: int, code: str) -> None:
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
    writes: tuple[StoredObject, ...] = ()
    subject: StoredObject | None = None
    body: Mapping[str, object] | None = None
    error: StoredObject | None = None
    keeps_key: bool = False
    effect: str | None = None
    reference: str | None = None
    payment_id: str | None = None
    refund_id: str | None = None
    amount_minor: int | None = None
    released_minor: int = 0
    currency: str | None = None
    dispute: DisputeFact | None = None
    events: tuple[str, ...] = ()
    replayed: bool = False

    @property
    def shown(self) -> StoredObject | None:
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
class Subscription:
    """A receiver of webhooks that need not subscribe by API; `key` is what it tells them by."""

    url: str
    key: str
    event_types: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """Bytes for the client."""

    status: int
    body: bytes
    headers: Mapping[str, str]


class Vendor(Protocol):
    """What the simulator needs of a vendor; one that inherits it holds no money and tells nobody.

    `paths` are the routes it answers, as aiohttp writes them, the most specific first.
    """

    name: str
    paths: tuple[str, ...]
    keys: Keys
    decoders: Decoders

    def new_request_id(self) -> str:
        """What the vendor names this request by."""
        ...

    def understand(self, wire: Wire, /) -> Ask:
        """Authenticate, route and parse; raises Refused."""
        ...

    def repeat(self, ask: Ask, kept: Kept, /) -> Decision:
        """Answer a request whose key is bound to an answer."""
        ...

    def key_in_use(self, ask: Ask, /) -> Decision:
        """Refuse a request whose key is held by another in flight."""
        ...

    def broken(self, spec: FaultSpec, /) -> Decision:
        """Fail as the vendor fails; only what breaks during the work may be kept under the key."""
        ...

    def spoiled(self, decision: Decision, spec: FaultSpec, /) -> Decision:
        """The work stands although its answer is an error: what the key will replay."""
        ...

    def act(self, _action: Action, _subject: str, _at: float, /) -> Decision | None:
        """Decide what is done in the dashboard to a payment, or to a refund by either's id.

        None when the vendor knows no such thing; raises Refused and NotOffered.
        """
        return None

    def apply(self, entry: Entry, /) -> None:
        """Make an entry part of the present state."""
        ...

    def answer(self, ask: Ask, decision: Decision, /) -> Answer:
        """The decision in the vendor's JSON and headers."""
        ...

    def deliveries(self, _entry: Entry, /) -> Iterable[Delivery]:
        """What an entry tells the webhook endpoints."""
        return ()

    def admit(self, _keys: Iterable[str], /) -> None:
        """Take requests with these keys alone, before anything is rolled; without any, all."""

    def subscribe(self, receiver: Subscription, /) -> None:
        """Tell a receiver as if it had always been there; the journal knows nothing of it."""
