"""Stripe as the exchange sees it: routes, authentication, idempotency rules, answers."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from typing import Final

import orjson

from simulator.credentials import Credentials, KeyRoll, Standing
from simulator.dashboard import Action, RollKey
from simulator.entries import Entry
from simulator.faults import NO_FAULTS, FaultKind, Faults, FaultSpec
from simulator.idempotency import Kept, Keys
from simulator.identifiers import Identifiers
from simulator.spill import Spill
from simulator.stripe import dashboard, failures, forms, render, webhooks
from simulator.stripe.context import PAYMENT_ID, StripeContext
from simulator.stripe.events import events_of
from simulator.stripe.records import (
    DECODERS,
    Customer,
    Dispute,
    Endpoint,
    Failure,
    Intent,
    PaymentMethod,
    Refund,
)
from simulator.stripe.routes import ROUTES, Work
from simulator.stripe.state import StripeState
from simulator.vendor import Answer, Ask, Decision, Subscription, Wire
from simulator.webhooks import Delivery

# "You can remove keys from the system automatically after they're at least 24 hours old."
_KEY_WINDOW_S: Final = 24 * 3600
_KEY_LENGTH_MAX: Final = 255


class Stripe:
    """One Stripe account."""

    name = "stripe"
    paths: tuple[str, ...] = ("/v1/{rest:.*}",)
    decoders = DECODERS

    def __init__(self, ids: Identifiers, file: Spill) -> None:
        self.keys = Keys(lambda _: _KEY_WINDOW_S, file, DECODERS)
        self.state = StripeState(file)
        self._credentials = Credentials()
        self._ids = ids

    def new_request_id(self) -> str:
        """`req_...`, as every answer's Request-Id."""
        return self._ids.prefixed("req_", length=14)

    def understand(self, wire: Wire) -> Ask:
        """Authenticate, route and parse; raises Refused."""
        self._authenticate(wire.headers.get("Authorization", ""), wire.at)
        for method, pattern, operation, work in ROUTES:
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
        """What a failing Stripe answers; of a work that began, for as long as the key is kept.

        "The status code and body of the first request ... regardless of whether it succeeds or
        fails ... including 500 errors", but only "if an endpoint started executing".
        """
        failure = (
            failures.rate_limited(spec.code)
            if spec.kind is FaultKind.RATE_LIMIT
            else failures.api_error(spec.status)
        )
        return Decision(
            status=failure.status,
            outcome=f"fault:{spec.kind}",
            error=failure,
            keeps_key=spec.kind is FaultKind.ERROR_DURING,
        )

    def spoiled(self, decision: Decision, spec: FaultSpec) -> Decision:
        """The work stands and the answer is a 500, which the key then replays for its window."""
        return replace(
            decision,
            status=spec.status,
            outcome="fault:error_after",
            subject=None,
            body=None,
            error=failures.api_error(spec.status),
            keeps_key=True,
            replayed=False,
        )

    def act(self, action: Action, subject: str, at: float) -> Decision | None:
        """What is done in the dashboard; raises Refused and NotOffered."""
        if isinstance(action, RollKey):
            return self._credentials.roll(action, at)
        return dashboard.act(StripeContext(self.state, self._ids, at, NO_FAULTS), action, subject)

    def apply(self, entry: Entry) -> None:
        """Make an entry's records, events and key the present state."""
        for record in entry.writes:
            if isinstance(record, KeyRoll):
                self._credentials.apply(record)
            else:
                self.state.put(record)
        self.state.events.extend(events_of(entry))
        if entry.key is not None:
            self.keys.apply(entry.key, entry)

    def deliveries(self, entry: Entry) -> Iterable[Delivery]:
        """The entry's events, signed, for every endpoint that wants them."""
        endpoints = [one for one in self.state.endpoints.values() if not one.deleted]
        for event in events_of(entry) if endpoints else ():
            body = orjson.dumps(render.event_object(event))
            for endpoint in endpoints:
                if {"*", event.type} & set(endpoint.enabled_events):
                    yield webhooks.delivery(self.state, endpoint, body)

    def admit(self, keys: Iterable[str]) -> None:
        """Secret keys."""
        self._credentials.admit(keys)

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

    def answer(self, ask: Ask, decision: Decision) -> Answer:
        """The decision as Stripe's JSON."""
        headers = {"Content-Type": "application/json", "Request-Id": ask.wire.request_id}
        headers["Stripe-Version"] = ask.wire.headers.get("Stripe-Version", render.API_VERSION)
        if ask.key is not None:
            headers["Idempotency-Key"] = ask.key
        if decision.replayed:
            headers["Idempotent-Replayed"] = "true"
        if decision.status == HTTPStatus.CONFLICT:
            headers["Stripe-Should-Retry"] = "true"
        if decision.outcome == "rate_limit":
            headers["Stripe-Rate-Limited-Reason"] = "endpoint-rate"
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
            case Dispute():
                return render.dispute_object(subject)
            case Customer():
                return render.customer_object(subject)
            case PaymentMethod():
                return render.method_object(subject)
            case Endpoint():
                return render.endpoint_object(subject, with_secret=True)
            case _:
                raise AssertionError("a decision has a body, an error or a record to show")

    def _authenticate(self, header: str, at: float) -> None:
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
        match self._credentials.standing(credentials, at):
            case Standing.UNKNOWN:
                raise failures.unknown_key(credentials)
            case Standing.EXPIRED:
                raise failures.expired_key(credentials)
            case Standing.VALID:
                pass

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


def _fingerprint(params: forms.Params) -> str:
    encoded = orjson.dumps(params, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(encoded, digest_size=12).hexdigest()
