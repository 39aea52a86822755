"""PayPal as the exchange sees it: routes, tokens, idempotency rules, answers."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Final
from urllib.parse import parse_qs, parse_qsl

import orjson

from simulator.credentials import Credentials, KeyRoll, Standing, digest
from simulator.dashboard import Action, RollKey
from simulator.entries import Entry, StoredObject
from simulator.faults import NO_FAULTS, FaultKind, Faults, FaultSpec
from simulator.idempotency import Kept, Keys
from simulator.identifiers import Identifiers
from simulator.paypal import bodies, dashboard, orders, problems, render, tokens, webhooks
from simulator.paypal.orders import PayPalContext
from simulator.paypal.records import DECODERS, Authorization, Listener, Problem
from simulator.paypal.routes import APPROVE, ROUTES, Route, Work
from simulator.paypal.state import PayPalState
from simulator.spill import Spill
from simulator.vendor import Answer, Ask, Decision, Subscription, Wire
from simulator.webhooks import Delivery

# "The server stores keys for 6 hours" in Orders v2, "for 45 days" in Payments v2.
_ORDERS_WINDOW_S: Final = 6 * 3600
_PAYMENTS_WINDOW_S: Final = 45 * 24 * 3600
_KEY_LENGTH_MAX: Final = 108
_CREATED, _OK, _NO_CONTENT = 201, 200, 204


class PayPal:
    """One PayPal merchant."""

    name = "paypal"
    paths: tuple[str, ...] = (
        "/v2/{rest:.*}",
        "/v1/customer/{rest:.*}",
        "/v1/oauth2/{rest:.*}",
        "/v1/notifications/{rest:.*}",
        "/checkoutnow",
    )
    decoders = DECODERS

    def __init__(self, ids: Identifiers, file: Spill) -> None:
        self.keys = Keys(_window_s, file, DECODERS)
        self.state = PayPalState(file)
        self._credentials = Credentials()
        self._ids = ids

    def new_request_id(self) -> str:
        """The debug id of an answer."""
        return self._ids.hexadecimal(13)

    def understand(self, wire: Wire) -> Ask:
        """Authenticate, route and parse; raises Refused."""
        if wire.path == "/v1/oauth2/token":
            return Ask(wire=wire, operation="token", work=partial(self._issue_token, wire))
        if wire.path == "/checkoutnow":
            return self._approval(wire)
        self._authenticate(wire)
        for route in ROUTES:
            match = route.pattern.fullmatch(wire.path) if route.method == wire.method else None
            if match is not None:
                return self._ask(wire, route, match.groups())
        raise problems.not_found("path")

    def repeat(self, _ask: Ask, kept: Kept) -> Decision:
        """The latest state of what the first request made, or its refusal again.

        Another body under the same request id is not looked at: PayPal documents no check.
        """
        latest = self._latest(kept.subject) if kept.subject is not None else None
        status = _OK if kept.status == _CREATED else kept.status
        return Decision(
            status=status, outcome="ok", subject=latest, error=kept.error, replayed=True
        )

    def key_in_use(self, _ask: Ask) -> Decision:
        """409: a racing twin."""
        found = problems.problem("RESOURCE_CONFLICT", "PREVIOUS_REQUEST_IN_PROGRESS")
        return Decision(status=409, outcome="PREVIOUS_REQUEST_IN_PROGRESS", error=found)

    def broken(self, spec: FaultSpec) -> Decision:
        """What a failing PayPal answers; no trace of it is kept under the request id."""
        found = (
            problems.problem("RATE_LIMIT_REACHED")
            if spec.kind is FaultKind.RATE_LIMIT
            else problems.server_error(spec.status)
        )
        return Decision(status=found.status, outcome=f"fault:{spec.kind}", error=found)

    def spoiled(self, decision: Decision, _spec: FaultSpec) -> Decision:
        """The work stands; the request id gives its latest state, never the 500."""
        return decision

    def act(self, action: Action, subject: str, at: float) -> Decision | None:
        """What is done in the dashboard; raises Refused."""
        if isinstance(action, RollKey):
            return self._credentials.roll(action, at)
        context = PayPalContext(self.state, self._ids, at, NO_FAULTS, None, None)
        return dashboard.act(context, action, subject)

    def apply(self, entry: Entry) -> None:
        """Make an entry's records and request id the present state."""
        for record in entry.writes:
            if isinstance(record, KeyRoll):
                self._credentials.apply(record)
            else:
                self.state.put(record)
        if entry.key is not None:
            self.keys.apply(entry.key, entry)

    def admit(self, keys: Iterable[str]) -> None:
        """Client ids and secrets, a colon between them."""
        self._credentials.admit(keys)

    def subscribe(self, receiver: Subscription) -> None:
        """A listener under the receiver's webhook id."""
        self.state.put(
            Listener(id=receiver.key, url=receiver.url, event_types=receiver.event_types)
        )

    def answer(self, ask: Ask, decision: Decision) -> Answer:
        """The decision as PayPal's JSON."""
        debug_id = ask.wire.request_id
        headers = {"Content-Type": "application/json", "Paypal-Debug-Id": debug_id}
        if isinstance(decision.error, Problem):
            shown: object = problems.body(decision.error, debug_id)
        elif decision.body is not None:
            shown = decision.body
        else:
            assert decision.shown is not None
            host = _host(ask.wire)
            shown = render.resource(decision.shown, self.state, host, minimal=ask.minimal)
        status = decision.status
        if status == _NO_CONTENT and isinstance(decision.shown, Authorization) and not ask.minimal:
            status = _OK
        body = b"" if status == _NO_CONTENT else orjson.dumps(shown)
        return Answer(status, body, headers)

    def deliveries(self, entry: Entry) -> Iterable[Delivery]:
        """The entry's notifications, signed, for every listener that wants them."""
        for listener in self.state.listeners.values() if entry.events else ():
            for kind in entry.events:
                if not listener.deleted and {"*", kind} & set(listener.event_types):
                    event = webhooks.notification(kind, entry, self.state)
                    transmission = (self._ids.hexadecimal(32), render.stamp(entry.at))
                    yield webhooks.delivery(self.state, listener, event, transmission)

    def _authenticate(self, wire: Wire) -> None:
        """A token that was issued, for a client that is still one."""
        scheme, _, token = wire.headers.get("Authorization", "").partition(" ")
        client = tokens.client_of(token, wire.at) if scheme.lower() == "bearer" else None
        if client is None:
            raise problems.unauthorized("Token signature verification failed")
        if self._credentials.standing_of(client, wire.at) is not Standing.VALID:
            raise problems.unauthorized("The token passed in was not found in the system")

    def _issue_token(self, wire: Wire, _faults: Faults) -> Decision:
        client = tokens.basic_credentials(wire.headers.get("Authorization", ""))
        is_known = (
            client is not None and self._credentials.standing(client, wire.at) is Standing.VALID
        )
        if client is None or not is_known:
            raise problems.unauthorized("Client Authentication failed", "invalid_client")
        grant = parse_qs(wire.body.decode("utf-8", "replace")).get("grant_type")
        if grant != ["client_credentials"]:
            raise problems.malformed("INVALID_PARAMETER_VALUE", "grant_type")
        token = {
            "scope": "https://uri.paypal.com/services/payments/payment",
            "access_token": tokens.issue(wire.at, digest(client)),
            "token_type": "Bearer",
            "app_id": "APP-SIMULATOR",
            "expires_in": tokens.LIFETIME_S,
            "nonce": f"{render.stamp(wire.at)}{wire.request_id}",
        }
        return Decision(status=200, outcome="ok", body=token)

    def _approval(self, wire: Wire) -> Ask:
        order_id = parse_qs(wire.query).get("token", [""])[0]
        return self._ask(wire, APPROVE, (order_id,))

    def _ask(self, wire: Wire, route: Route, path_ids: tuple[str, ...]) -> Ask:
        query = dict(parse_qsl(wire.query))
        body = bodies.Reader(bodies.parse(wire.body) if wire.method == "POST" else {**query})
        request_id = wire.headers.get("PayPal-Request-Id") if wire.method == "POST" else None
        if request_id is not None and not 0 < len(request_id) <= _KEY_LENGTH_MAX:
            raise problems.malformed("INVALID_STRING_LENGTH", "PayPal-Request-Id")
        # A request id belongs to its endpoint: the same one elsewhere is another request.
        key = f"{wire.path} {request_id}" if request_id is not None else None
        return Ask(
            wire=wire,
            operation=_refined(route.operation, body),
            work=partial(self._work, route.work, wire, body, (key, path_ids)),
            key=key,
            payment_id=self._payment_id(body, path_ids),
            minimal="return=representation" not in wire.headers.get("Prefer", "")
            and wire.method == "POST",
        )

    def _work(
        self,
        work: Work,
        wire: Wire,
        body: bodies.Reader,
        named: tuple[str | None, tuple[str, ...]],
        faults: Faults,
    ) -> Decision:
        mock = wire.headers.get("PayPal-Mock-Response")
        context = PayPalContext(self.state, self._ids, wire.at, faults, named[0], mock)
        return work(context, body, *named[1])

    def _payment_id(self, body: bodies.Reader, path_ids: tuple[str, ...]) -> str | None:
        for path_id in path_ids:
            for objects in (self.state.orders, self.state.authorizations, self.state.captures):
                record = objects.get(path_id)
                if record is not None:
                    return record.custom_id
        units = body.value("purchase_units")
        if isinstance(units, list) and units and isinstance(units[0], dict):
            custom_id = units[0].get("custom_id")
            return custom_id if isinstance(custom_id, str) else None
        return None

    def _latest(self, record: StoredObject) -> StoredObject:
        for objects in (
            self.state.orders,
            self.state.authorizations,
            self.state.captures,
            self.state.refunds,
        ):
            latest = objects.get(getattr(record, "id", ""))
            if latest is not None:
                return latest
        return record


def _window_s(key: str) -> float:
    """How long a request id is kept, by the path it begins with."""
    return _PAYMENTS_WINDOW_S if key.startswith("/v2/payments/") else _ORDERS_WINDOW_S


def _refined(operation: str, body: bodies.Reader) -> str:
    """Tell an order that is paid in the call that creates it from one that is not."""
    source = body.value("payment_source")
    if operation != "create" or not isinstance(source, dict) or not orders.pays_now(source):
        return operation
    return "authorize" if body.value("intent") == "AUTHORIZE" else "charge"


def _host(wire: Wire) -> str:
    return f"http://{wire.headers.get('Host', 'localhost')}"
