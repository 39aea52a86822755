"""Stripe's webhooks: endpoints by API, and the signature over what is posted to them."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit

from simulator.stripe import failures, render
from simulator.stripe.context import StripeContext
from simulator.stripe.forms import Form
from simulator.stripe.records import Endpoint
from simulator.stripe.state import StripeState
from simulator.vendor import Decision
from simulator.webhooks import Delivery

_CREATE: Final = ("api_version", "connect", "description", "enabled_events", "expand", "metadata",
                  "url")  # fmt: skip


def create(context: StripeContext, form: Form) -> Decision:
    """POST /v1/webhook_endpoints; the answer alone shows the signing secret."""
    form.allow(_CREATE)
    url = form.required("url")
    if urlsplit(url).scheme not in ("http", "https"):
        raise failures.invalid(
            "Invalid URL: must be http or https", param="url", code="url_invalid"
        )
    endpoint = Endpoint(
        id=context.ids.prefixed("we_1"),
        created=context.at,
        url=url,
        secret=context.ids.prefixed("whsec_", length=32),
        enabled_events=form.names("enabled_events") or ("*",),
    )
    return Decision(status=200, outcome="ok", writes=(endpoint,), keeps_key=True)


def retrieve(context: StripeContext, form: Form, endpoint_id: str) -> Decision:
    """GET /v1/webhook_endpoints/{id}."""
    form.allow(("expand",))
    endpoint = _found(context.state, endpoint_id)
    return Decision(
        status=200, outcome="ok", body=render.endpoint_object(endpoint, with_secret=False)
    )


def delete(context: StripeContext, form: Form, endpoint_id: str) -> Decision:
    """DELETE /v1/webhook_endpoints/{id}."""
    form.allow(())
    endpoint = replace(_found(context.state, endpoint_id), deleted=True)
    body = {"id": endpoint.id, "object": "webhook_endpoint", "deleted": True}
    return Decision(status=200, outcome="ok", writes=(endpoint,), body=body)


def listed(context: StripeContext, form: Form) -> Decision:
    """GET /v1/webhook_endpoints; an account may have at most sixteen, so one page is all."""
    form.allow(("ending_before", "expand", "limit", "starting_after"))
    data = [
        render.endpoint_object(endpoint, with_secret=False)
        for endpoint in reversed(context.state.endpoints.values())
        if not endpoint.deleted
    ]
    return Decision(status=200, outcome="ok", body=render.page(data, "/v1/webhook_endpoints"))


def delivery(state: StripeState, endpoint: Endpoint, body: bytes) -> Delivery:
    """An event for an endpoint, signed anew whenever it is sent, until that is deleted."""

    def signed(at: float) -> dict[str, str]:
        return {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": signature(body, endpoint.secret, at),
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        }

    return Delivery(
        f"stripe {endpoint.id}",
        endpoint.url,
        body,
        signed,
        lambda: not state.endpoints[endpoint.id].deleted,
    )


def signature(body: bytes, secret: str, at: float) -> str:
    """The `Stripe-Signature` header: HMAC-SHA256 over `<time>.<body>`."""
    moment = str(int(at))
    signed = hmac.new(secret.encode(), moment.encode() + b"." + body, hashlib.sha256)
    return f"t={moment},v1={signed.hexdigest()}"


def _found(state: StripeState, endpoint_id: str) -> Endpoint:
    endpoint = state.endpoints.get(endpoint_id)
    if endpoint is None or endpoint.deleted:
        raise failures.no_such("webhook endpoint", endpoint_id, "webhook_endpoint")
    return endpoint
