"""PayPal's webhooks: listeners by API, notifications, and the endpoint that verifies them.

The signature covers transmission id, time, webhook id and the event, as PayPal's does, but is
this simulator's own and can be verified only by asking it; PayPal's certificates, for
verification without asking, are not simulated.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import orjson

from simulator.entries import Entry, JsonValue
from simulator.paypal import problems, render
from simulator.paypal.bodies import Reader
from simulator.paypal.orders import PayPalContext
from simulator.paypal.records import Listener
from simulator.paypal.state import PayPalState
from simulator.vendor import Decision
from simulator.webhooks import Delivery

_KEY: Final = b"provider simulator"
_VERIFIED: Final = ("auth_algo", "cert_url", "transmission_id", "transmission_sig",
                    "transmission_time", "webhook_id")  # fmt: skip


# Which record a notification shows, by how its name begins: the first that fits. What PayPal
# takes back from a capture looks like a refund of it.
_SUBJECTS: Final = {
    "PAYMENT.AUTHORIZATION.": "authorization",
    "PAYMENT.CAPTURE.RE": "paypal_refund",
    "PAYMENT.CAPTURE.": "capture",
    "PAYMENT.REFUND.": "paypal_refund",
    "CUSTOMER.DISPUTE.": "paypal_dispute",
    "CHECKOUT.ORDER.": "order",
}


def create(context: PayPalContext, body: Reader) -> Decision:
    """POST /v1/notifications/webhooks."""
    types = body.value("event_types")
    names = [
        str(one["name"])
        for one in (types if isinstance(types, list) else [])
        if isinstance(one, dict) and "name" in one
    ]
    listener = Listener(
        id=context.ids.capitals(), url=body.required("url"), event_types=tuple(names) or ("*",)
    )
    return Decision(status=201, outcome="ok", writes=(listener,), body=shown(listener))


def listed(context: PayPalContext, _body: Reader) -> Decision:
    """GET /v1/notifications/webhooks."""
    live = [one for one in context.state.listeners.values() if not one.deleted]
    return Decision(status=200, outcome="ok", body={"webhooks": [shown(one) for one in live]})


def delete(context: PayPalContext, _body: Reader, listener_id: str) -> Decision:
    """DELETE /v1/notifications/webhooks/{id}."""
    listener = context.state.listeners.get(listener_id)
    if listener is None or listener.deleted:
        raise problems.not_found("webhook_id")
    return Decision(status=204, outcome="ok", writes=(replace(listener, deleted=True),), body={})


def verify(_desk: PayPalContext, body: Reader) -> Decision:
    """POST /v1/notifications/verify-webhook-signature."""
    values = {name: body.required(name) for name in _VERIFIED}
    expected = sign(
        values["transmission_id"],
        values["transmission_time"],
        values["webhook_id"],
        body.nested("webhook_event").values,
    )
    genuine = hmac.compare_digest(expected, values["transmission_sig"])
    status = "SUCCESS" if genuine else "FAILURE"
    return Decision(status=200, outcome="ok", body={"verification_status": status})


def delivery(
    state: PayPalState,
    listener: Listener,
    event: Mapping[str, object],
    transmission: tuple[str, str],
) -> Delivery:
    """A notification for a listener until that is deleted; `transmission` is its id and time."""
    headers = {
        "Content-Type": "application/json",
        "Paypal-Auth-Algo": "SHA256withRSA",
        "Paypal-Cert-Url": "https://api.paypal.com/v1/notifications/certs/simulator",
        "Paypal-Transmission-Id": transmission[0],
        "Paypal-Transmission-Time": transmission[1],
        "Paypal-Transmission-Sig": sign(*transmission, listener.id, event),
        "User-Agent": "PayPal/AUHD-214.0-58843860",
    }
    return Delivery(
        f"paypal {listener.id}",
        listener.url,
        orjson.dumps(event),
        lambda _at: headers,
        lambda: not state.listeners[listener.id].deleted,
    )


def sign(
    transmission_id: str,
    transmission_time: str,
    webhook_id: str,
    event: Mapping[str, JsonValue] | Mapping[str, object],
) -> str:
    """The signature over a notification, whatever order its members are in."""
    canonical = orjson.dumps(dict(event), option=orjson.OPT_SORT_KEYS)
    digest = hashlib.sha256(canonical).hexdigest()
    signed = f"{transmission_id}|{transmission_time}|{webhook_id}|{digest}"
    return hmac.new(_KEY, signed.encode(), hashlib.sha256).hexdigest()


def notification(kind: str, entry: Entry, state: PayPalState) -> dict[str, object]:
    """A notification about the entry's capture, authorization, refund or order."""
    wanted = next(kinds for prefix, kinds in _SUBJECTS.items() if kind.startswith(prefix))
    subject = next(record for record in entry.writes if record.kind == wanted)
    resource_type = wanted.removeprefix("paypal_")
    return {
        "id": f"WH-{entry.request_id.upper()}-{entry.seq}",
        "event_version": "1.0",
        "create_time": render.stamp(entry.at),
        "resource_type": resource_type,
        "resource_version": "2.0",
        "event_type": kind,
        "summary": f"A {resource_type} changed: {kind}",
        "resource": render.resource(subject, state, "https://api.paypal.com", minimal=False),
    }


def shown(listener: Listener) -> dict[str, object]:
    """A webhook as PayPal shows it."""
    types = [{"name": name} for name in listener.event_types]
    return {"id": listener.id, "url": listener.url, "event_types": types}
