"""Stripe's refusals, each in one place: status, type, code, parameter and wording."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from simulator.stripe.records import Charge, Decline, Failure
from simulator.vendor import Refused

_DOC_URL: Final = "https://stripe.com/docs/error-codes/"


def invalid(
    message: str, *, param: str | None = None, code: str | None = None, status: int = 400
) -> Refused:
    """An `invalid_request_error`: nothing was done and the idempotency key stays free."""
    failure = Failure(
        status=status, type="invalid_request_error", message=message, code=code, param=param
    )
    return Refused(failure, status, code or "invalid_request_error")


def missing(param: str) -> Refused:
    """A required parameter is absent."""
    return invalid(f"Missing required param: {param}.", param=param, code="parameter_missing")


def no_such(resource: str, object_id: str, param: str, *, status: int = 404) -> Refused:
    """404 for a path's object; 400 for one named in a parameter."""
    return invalid(
        f"No such {resource}: '{object_id}'", param=param, code="resource_missing", status=status
    )


def unauthorized(message: str) -> Refused:
    """No usable API key."""
    failure = Failure(status=401, type="invalid_request_error", message=message)
    return Refused(failure, 401, "unauthorized")


def unknown_key(key: str) -> Refused:
    """A key nobody was given."""
    return unauthorized(f"Invalid API Key provided: {_masked(key)}")


def expired_key(key: str) -> Refused:
    """A key that was rolled."""
    failure = Failure(
        status=401,
        type="invalid_request_error",
        message=f"Expired API Key provided: {_masked(key)}",
        code="api_key_expired",
    )
    return Refused(failure, 401, "api_key_expired")


def _masked(key: str) -> str:
    """As Stripe repeats a key: what kind it is, and its end."""
    shown = 12
    if len(key) <= shown:
        return "*" * len(key)
    return f"{key[:8]}{'*' * (len(key) - shown)}{key[-4:]}"


def state(message: str, code: str, param: str | None = None) -> Failure:
    """The object is not in a state in which this can be done; carries the intent."""
    return Failure(
        status=400,
        type="invalid_request_error",
        message=message,
        code=code,
        param=param,
        with_intent=True,
    )


def card_error(decline: Decline) -> Failure:
    """The issuer said no."""
    return Failure(
        status=402,
        type="card_error",
        message=decline.message,
        code=decline.code,
        param="cvc" if decline.code == "incorrect_cvc" else None,
        decline_code=decline.decline_code,
    )


def declined(decline: Decline, charge: Charge) -> Failure:
    """The issuer said no to a charge; carries the intent."""
    return replace(card_error(decline), charge=charge.id, with_intent=True)


def other_request(key: str) -> Failure:
    """The key was first used with other parameters."""
    message = (
        "Keys for idempotent requests can only be used with the same parameters they were "
        f"first used with. Try using a key other than '{key}' if you meant to execute a "
        "different request."
    )
    return Failure(status=400, type="idempotency_error", message=message)


def other_path(key: str, path: str, first_path: str) -> Failure:
    """The key was first used on another endpoint."""
    message = (
        "Keys for idempotent requests can only be used for the same endpoint they were first "
        f"used for ('{path}' vs '{first_path}'). Try using a key other than '{key}' if you "
        "meant to execute a different request."
    )
    return Failure(status=400, type="idempotency_error", message=message)


def key_in_use(key: str) -> Failure:
    """The same key is being worked on at this moment."""
    message = (
        "There is currently another in-progress request using this Idempotent Key (that "
        "probably means you submitted twice, and the other request is still going through): "
        f"{key}. Please try again later."
    )
    return Failure(
        status=409, type="invalid_request_error", message=message, code="idempotency_key_in_use"
    )


def rate_limited(code: str | None) -> Failure:
    """Too many requests, or with `lock_timeout` too many about one object; nothing was done."""
    return Failure(
        status=429,
        type="invalid_request_error",
        code=code or "rate_limit",
        message="Request rate limit exceeded. You can learn more about rate limits here "
        "https://stripe.com/docs/rate-limits.",
    )


def too_often() -> Refused:
    """More than the endpoint takes in a second."""
    failure = rate_limited(None)
    return Refused(failure, failure.status, "rate_limit")


def api_error(status: int) -> Failure:
    """Something broke on Stripe's side."""
    return Failure(
        status=status,
        type="api_error",
        message="An unknown error occurred. If the problem persists, contact support.",
    )


def body(failure: Failure, intent: Mapping[str, object] | None) -> dict[str, object]:
    """The failure as Stripe's `error` object."""
    error: dict[str, object] = {"message": failure.message, "type": failure.type}
    if failure.code is not None:
        error["code"] = failure.code
        error["doc_url"] = _DOC_URL + failure.code.replace("_", "-")
    for name in ("param", "decline_code", "charge"):
        value = getattr(failure, name)
        if value is not None:
            error[name] = value
    if failure.with_intent and intent is not None:
        error["payment_intent"] = intent
        error["payment_method"] = intent["payment_method"]
    return {"error": error}
