"""Stripe as the exchange sees it: routes, authentication, idempotency rules, answers."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Final, TypeAlias

import orjson

from simulator.entries import Entry, JsonObject, StoredObject
from simulator.faults import FaultKind, Faults, FaultSpec
from simulator.idempotency import Kept, Keys
from simulator.identifiers import Identifiers
from simulator.stripe import failures, forms, intents, reads, refunds, render, webhooks
from simulator.stripe.intents import PAYMENT_ID, StripeContext
from simulator.stripe.records import DECODERS, Endpoint, Failure, Intent, Refund
from simulator.stripe.state import Event, StripeState
from simulator.vendor import Answer, Ask, Decision, Subscription, Wire
from simulator.webhooks import Delivery

Work: TypeAlias = Callable[..., Decision]


# "You can remove keys from the system automatically after they're at least 24 hours old."
_KEY_WINDOW_S: Final = 24 * 3600
_KEY_LENGTH_MAX: Final = 255

_ROUTES: Final[tuple[tuple[str, re.Pattern[str], str, Work], ...]] = tuple(
    (method, re.compile(path), operation, work)
    for method, path, operation, work in (
        ("POST", r"/v1/payment_intents", "charge", intents.create),
        ("GET", r"/v1/payment_intents/search", "search", reads.search_intents),
        ("GET", r"/v1/payment_intents", "list", reads.intents),
        ("GET", r"/v1/payment_intents/([^/]+)", "retrieve", reads.intent),
        ("POST", r"/v1/payment_intents/([^/]+)/confirm", "charge", intents.confirm),
        ("POST", r"/v1/payment_intents/([^/]+)/capture", "capture", intents.capture),
        ("POST", r"/v1/payment_intents/([^/]+)/cancel", "void", intents.cancel),
        ("POST", r"/v1/refunds", "refund", refunds.create),
        ("GET", r"/v1/refunds", "list_refunds", reads.refunds),
        ("GET", r"/v1/refunds/([^/]+)", "retrieve_refund", reads.refund),
        ("GET", r"/v1/charges", "list_charges", reads.charges),
        ("GET", r"/v1/charges/([^/]+)", "retrieve_charge", reads.charge),
        ("GET", r"/v1/balance", "balance", reads.balance),
        ("GET", r"/v1/events", "list_events", reads.events),
        ("GET", r"/v1/events/([^/]+)", "retrieve_event", reads.event),
        ("POST", r"/v1/webhook_endpoints", "webhook_endpoint", webhooks.create),
        ("GET", r"/v1/webhook_endpoints", "webhook_endpoint", webhooks.listed),
        ("GET", r"/v1/webhook_endpoints/([^/]+)", "webhook_endpoint", webhooks.retrieve),
        ("DELETE", r"/v1/webhook_endpoints/([^/]+)", "webhook_endpoint", webhooks.delete),
    )
)


class Stripe:
    """One Stripe account. `api_key`, when set, is the only one accepted."""

    name = "stripe"
    paths: tuple[str, ...] = ("/v1/{rest:.*}",)
    decoders = DECODERS

    def __init__(self, ids: Identifiers, api_key: str | None = None) -> None:
        self.keys = Keys(lambda _: _KEY_WINDOW_S)
        self.state = StripeState()
        self._ids = ids
        self._api_key = api_key

    def new_request_id(self) -> str:
        """`req_...`, as every answer's Request-Id."""
        return self._ids.prefixed("req_", length=14)

    def understand(self, wire: Wire) -> Ask:
        """Authenticate, route and parse; raises Refused."""
        self._authenticate(wire.headers.get("Authorization", ""))
        for method, pattern, operation, work in _ROUTES:
            match = pattern.fullmatch(wire.path) if method == wire.method else None
            if match is not None:
                return self._ask(wire, operation, work, match.groups())
        raise failures.invalid(
            f"Unrecognized request URL ({wire.method}: {wire.path}). Please see "
            "https://stripe.com/docs or we can help at https://support.stripe.com/.",
            status=404,
        )

    def repeat(self, ask: Ask, kept: Kept) -> Decision:
        """Replay the kept answer, or refuse another request under the same key."""
        key = ask.key or ""
        failure: Failure | None = None
        if kept.path != ask.wire.path:
            failure = failures.other_path(key, ask.wire.path, kept.path)
        elif kept.fingerprint != ask.fingerprint:
            failure = failures.other_request(key)
        if failure is not None:
            return Decision(status=400, outcome="idempotency_error", error=failure)
        return Decision(
            status=kept.status,
            outcome="ok",
            subject=kept.subject,
            error=kept.error,
            replayed=True,
        )

    def key_in_use(self, ask: Ask) -> Decision:
        """409: a racing twin."""
        failure = failures.key_in_use(ask.key or "")
        return Decision(status=409, outcome="idempotency_key_in_use", error=failure)

    def broken(self, spec: FaultSpec) -> Decision:
        """What a failing Stripe answers; no trace of it is kept under the key."""
        failure = (
            failures.rate_limited(spec.code)
            if spec.kind is FaultKind.RATE_LIMIT
            else failures.api_error(spec.status)
        )
        return Decision(status=failure.status, outcome=f"fault:{spec.kind}", error=failure)

    def spoiled(self, decision: Decision, spec: FaultSpec) -> Decision:
        """The work stands and the answer is a 500, which the key then replays for its window."""
        failure = failures.api_error(spec.status)
        return _with_failure(decision, failure)

    def expire(self, payment_id: str, at: float) -> Decision | None:
        """Let the payment's authorization lapse, if there is one."""
        return intents.expire(self.state, at, payment_id)

    def apply(self, entry: Entry) -> None:
        """Make an entry's records, events and key the present state."""
        for record in entry.writes:
            self.state.put(record)
        self.state.events.extend(_events(entry))
        if entry.key is not None:
            self.keys.apply(entry.key, entry)

    def deliveries(self, entry: Entry) -> Iterable[Delivery]:
        """The entry's events, signed, for every endpoint that wants them."""
        endpoints = [one for one in self.state.endpoints.values() if not one.deleted]
        for event in _events(entry) if endpoints else ():
            body = orjson.dumps(render.event_object(event))
            for endpoint in endpoints:
                if {"*", event.type} & set(endpoint.enabled_events):
                    headers = {
                        "Content-Type": "application/json; charset=utf-8",
                        "Stripe-Signature": webhooks.signature(body, endpoint.secret, entry.at),
                        "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
                    }
                    yield Delivery(endpoint.url, body, headers)

    def subscribe(self, receiver: Subscription) -> None:
        """An endpoint with the receiver's secret."""
        endpoint = Endpoint(
            id="we_settings",
            created=0.0,
            url=receiver.url,
            secret=receiver.key,
            enabled_events=receiver.event_types,
        )
        self.state.put(endpoint)

    def refund_id(self, stored: JsonObject) -> object:
        """The metadata have it."""
        metadata = stored.get("metadata") if stored["kind"] == "refund" else None
        return metadata.get("refund_id") if isinstance(metadata, dict) else None

    def answer(self, ask: Ask, decision: Decision) -> Answer:
        """The decision as Stripe's JSON."""
        headers = {"Content-Type": "application/json", "Request-Id": ask.wire.request_id}
        headers["Stripe-Version"] = ask.wire.headers.get("Stripe-Version", render.API_VERSION)
        if ask.key is not None:
            headers["Idempotency-Key"] = ask.key
        if decision.replayed:
            headers["Idempotent-Replayed"] = "true"
        if decision.status == 409:  # noqa: PLR2004 -- HTTP: the client may retry a conflict
            headers["Stripe-Should-Retry"] = "true"
        return Answer(decision.status, orjson.dumps(self._body(ask, decision)), headers)

    def _body(self, ask: Ask, decision: Decision) -> object:
        if decision.body is not None:
            return decision.body
        subject = decision.shown
        if isinstance(decision.error, Failure):
            intent = render.intent_object(subject) if isinstance(subject, Intent) else None
            return failures.body(decision.error, intent)
        match subject:
            case Intent():
                return render.intent_object(subject, ask.expand, self.state)
            case Refund():
                return render.refund_object(subject)
            case Endpoint():
                return render.endpoint_object(subject, with_secret=True)
            case _:
                raise AssertionError("a decision has a body, an error or a record to show")

    def _authenticate(self, header: str) -> None:
        scheme, _, credentials = header.partition(" ")
        if scheme.lower() == "basic":
            try:
                credentials = base64.b64decode(credentials).decode().partition(":")[0]
            except (binascii.Error, UnicodeDecodeError):
                credentials = ""
        if not credentials:
            raise failures.unauthorized(
                "You did not provide an API key. You need to provide your API key in the "
                "Authorization header, using Bearer auth (e.g. 'Authorization: Bearer "
                "YOUR_SECRET_KEY')."
            )
        if self._api_key is not None and credentials != self._api_key:
            raise failures.unauthorized(f"Invalid API Key provided: {credentials[:7]}****")

    def _ask(self, wire: Wire, operation: str, work: Work, path_ids: tuple[str, ...]) -> Ask:
        encoded = wire.body.decode("utf-8", "replace") if wire.method == "POST" else wire.query
        form = forms.Form(forms.parse(encoded))
        key = wire.headers.get("Idempotency-Key") if wire.method == "POST" else None
        if key is not None and not 0 < len(key) <= _KEY_LENGTH_MAX:
            raise failures.invalid(
                f"Idempotency keys can have up to {_KEY_LENGTH_MAX} characters.",
                code="idempotency_key_invalid",
            )
        return Ask(
            wire=wire,
            operation=self._refined(operation, form, path_ids),
            work=partial(self._work, work, wire.at, form, path_ids),
            key=key,
            fingerprint=_fingerprint(form.params) if key is not None else None,
            payment_id=self._payment_id(form, path_ids),
            expand=form.names("expand"),
        )

    def _work(
        self, work: Work, at: float, form: forms.Form, path_ids: tuple[str, ...], faults: Faults
    ) -> Decision:
        return work(StripeContext(self.state, self._ids, at, faults), form, *path_ids)

    def _refined(self, operation: str, form: forms.Form, path_ids: tuple[str, ...]) -> str:
        """Tell an authorization, and a mere creation, from a charge."""
        if operation != "charge":
            return operation
        if not path_ids and form.params.get("confirm") != "true":
            return "create"
        intent = self.state.intents.get(path_ids[0]) if path_ids else None
        method = form.params.get("capture_method") or (intent and intent.capture_method)
        return "authorize" if method == "manual" else "charge"

    def _payment_id(self, form: forms.Form, path_ids: tuple[str, ...]) -> str | None:
        metadata = form.params.get("metadata")
        if isinstance(metadata, dict) and isinstance(metadata.get(PAYMENT_ID), str):
            return str(metadata[PAYMENT_ID])
        named = path_ids[0] if path_ids else form.params.get("payment_intent")
        intent = self.state.intents.get(named) if isinstance(named, str) else None
        return intent.metadata.get(PAYMENT_ID) if intent is not None else None


def _with_failure(decision: Decision, failure: Failure) -> Decision:
    return Decision(
        status=failure.status,
        outcome="fault:error_after",
        writes=decision.writes,
        error=failure,
        keeps_key=True,
        effect=decision.effect,
        reference=decision.reference,
        payment_id=decision.payment_id,
        amount_minor=decision.amount_minor,
        currency=decision.currency,
        events=decision.events,
    )


def _fingerprint(params: forms.Params) -> str:
    encoded = orjson.dumps(params, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(encoded, digest_size=12).hexdigest()


def _events(entry: Entry) -> Iterator[Event]:
    """The events of an entry; their ids are made of its request id, so they never change."""
    stem = f"evt_3{entry.request_id.removeprefix('req_')}"
    for index, kind in enumerate(entry.events):
        yield Event(
            id=f"{stem}{index}",
            type=kind,
            created=entry.at,
            subject=_subject(kind, entry.writes),
            request_id=entry.request_id,
            key=entry.key,
        )


def _subject(kind: str, writes: tuple[StoredObject, ...]) -> Intent | Refund:
    """The record an event of this type shows: a refund for `refund.*`, the intent otherwise."""
    wanted = Refund if kind.startswith("refund.") else Intent
    for record in writes:
        if isinstance(record, wanted):
            return record
    raise AssertionError(f"an entry with {kind} wrote its subject")
