"""Every way this API says no, declared once: code, status, title, and whether to try again.

An answer that is not a success is `application/problem+json` (RFC 9457). Codes are stable:
clients branch on them. A business refusal is answered by the kind of its own code, so each has
one. Nothing here tells internals or repeats a secret somebody sent.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, assert_never

import orjson

from payments.account import Account
from payments.dead_letter import DeadLetter
from payments.decision import RefusalCode, Refused
from payments.payment import METHOD_KEY, Payment
from payments.refund import Refund
from store.write.group_commit import Answer
from telemetry.redaction import redact_text

CONTENT_TYPE: Final = "application/problem+json"
# Where `docs` explains each code; a reference relative to this API, as RFC 9457 allows.
_TYPE_PREFIX: Final = "/docs/problems#"


@dataclass(frozen=True, slots=True)
class ProblemKind:
    """One stable code; `retryable` means the same request may succeed later."""

    code: str
    status: int
    title: str
    retryable: bool = False

    @property
    def type(self) -> str:
        """Where a person reads about it."""
        return _TYPE_PREFIX + self.code


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one part of a request: a place in the body, or a parameter by name."""

    reason: str
    pointer: str | None = None
    parameter: str | None = None


class Problem(Exception):
    """A refusal on its way out; caught in one place, the outermost middleware."""

    def __init__(
        self,
        kind: ProblemKind,
        detail: str,
        *,
        errors: tuple[FieldError, ...] = (),
        headers: Mapping[str, str] = MappingProxyType({}),
        present: Mapping[str, str | int] = MappingProxyType({}),
    ) -> None:
        super().__init__(f"{kind.code}: {detail}")
        self.kind = kind
        self.detail = detail
        self.errors = errors
        self.headers = headers
        # The state that said no, in members of `ProblemResponse`.
        self.present = present


@dataclass(frozen=True, slots=True)
class Asked:
    """The request a problem answers: its path, and the id to quote to support."""

    instance: str
    request_id: str


MALFORMED_HTTP: Final = ProblemKind(
    "malformed_http", 400, "Not an HTTP request this server understands"
)
MALFORMED_JSON: Final = ProblemKind("malformed_json", 400, "The body is not acceptable JSON")
IDEMPOTENCY_KEY_MISSING: Final = ProblemKind(
    "idempotency_key_missing", 400, "An Idempotency-Key is required"
)
IDEMPOTENCY_KEY_INVALID: Final = ProblemKind(
    "idempotency_key_invalid", 400, "The Idempotency-Key is not acceptable"
)
PRECONDITION_INVALID: Final = ProblemKind(
    "precondition_invalid", 400, "The If-Match or If-None-Match is not acceptable"
)
PARAMETER_UNKNOWN: Final = ProblemKind(
    "parameter_unknown", 400, "This address takes no such query parameter"
)
UNAUTHORIZED: Final = ProblemKind("unauthorized", 401, "A valid API key is required")
INSUFFICIENT_SCOPE: Final = ProblemKind("insufficient_scope", 403, "The API key may not do this")
FORM_STALE: Final = ProblemKind("form_stale", 403, "The form is not of this session")
NOT_FOUND: Final = ProblemKind("not_found", 404, "There is nothing at this address")
ACCOUNT_NOT_FOUND: Final = ProblemKind("account_not_found", 404, "No such account")
PAYMENT_NOT_FOUND: Final = ProblemKind("payment_not_found", 404, "No such payment")
REFUND_NOT_FOUND: Final = ProblemKind("refund_not_found", 404, "No such refund")
DISPUTE_NOT_FOUND: Final = ProblemKind("dispute_not_found", 404, "No such dispute")
DEAD_LETTER_NOT_FOUND: Final = ProblemKind("dead_letter_not_found", 404, "No such dead letter")
METHOD_NOT_ALLOWED: Final = ProblemKind(
    "method_not_allowed", 405, "This address does not take this method"
)
REQUEST_TIMEOUT: Final = ProblemKind(
    "request_timeout", 408, "The request did not arrive in time", retryable=True
)
PAYMENT_NOT_CANCELLABLE: Final = ProblemKind(
    "payment_not_cancellable", 409, "The payment can no longer be cancelled"
)
PAYMENT_NOT_CAPTURABLE: Final = ProblemKind(
    "payment_not_capturable", 409, "The payment cannot be captured now"
)
PAYMENT_NOT_REFUNDABLE: Final = ProblemKind(
    "payment_not_refundable", 409, "Nothing of the payment was captured"
)
PAYMENT_NOT_RESOLVABLE: Final = ProblemKind(
    "payment_not_resolvable", 409, "There is no doubt about the payment to resolve now"
)
REFUND_NOT_RESOLVABLE: Final = ProblemKind(
    "refund_not_resolvable", 409, "There is no doubt about the refund to resolve now"
)
PAYMENT_METHOD_TAKEN: Final = ProblemKind(
    "payment_method_taken", 409, "The payment method belongs to an account already"
)
ATTEMPT_IN_FLIGHT: Final = ProblemKind(
    "attempt_in_flight", 409, "The provider is being asked about it now", retryable=True
)
DEAD_LETTER_NOT_PARKED: Final = ProblemKind(
    "dead_letter_not_parked", 409, "The dead letter was dealt with before"
)
DEAD_LETTER_NOT_REDRIVABLE: Final = ProblemKind(
    "dead_letter_not_redrivable", 409, "The dead letter cannot be tried again"
)
WEBHOOK_ENDPOINT_NOT_ENABLED: Final = ProblemKind(
    "webhook_endpoint_not_enabled", 409, "The webhook endpoint is sent nothing now"
)
WEBHOOK_ENDPOINTS_EXHAUSTED: Final = ProblemKind(
    "webhook_endpoints_exhausted", 409, "There are as many webhook endpoints as there may be"
)
NOT_CLAIMABLE: Final = ProblemKind("not_claimable", 409, "There is nothing to claim")
BEHIND_DEAD_LETTER: Final = ProblemKind(
    "behind_dead_letter", 409, "An earlier message of the payment is parked"
)
IDEMPOTENCY_KEY_IN_FLIGHT: Final = ProblemKind(
    "idempotency_key_in_flight",
    409,
    "The first request with this key is still at work",
    retryable=True,
)
CURSOR_EXPIRED: Final = ProblemKind(
    "cursor_expired", 410, "What comes after the cursor is not to be had any more"
)
PRECONDITION_FAILED: Final = ProblemKind(
    "precondition_failed", 412, "It is not at the version the request names"
)
BODY_TOO_LARGE: Final = ProblemKind("body_too_large", 413, "The body is too large")
UNSUPPORTED_MEDIA_TYPE: Final = ProblemKind(
    "unsupported_media_type", 415, "The body must be application/json"
)
INVALID_REQUEST: Final = ProblemKind(
    "invalid_request", 422, "Parts of the request are not acceptable"
)
IDEMPOTENCY_KEY_REUSED: Final = ProblemKind(
    "idempotency_key_reused", 422, "The key was used for another request"
)
SAME_ACCOUNT: Final = ProblemKind(
    "same_account", 422, "Source and destination are the same account"
)
ACCOUNT_NOT_ACTIVE: Final = ProblemKind(
    "account_not_active", 422, "The account takes no part in payments"
)
CURRENCY_MISMATCH: Final = ProblemKind("currency_mismatch", 422, "The currencies differ")
OPERATION_NOT_SUPPORTED: Final = ProblemKind(
    "operation_not_supported", 422, "The provider does not do this"
)
CURRENCY_NOT_SUPPORTED: Final = ProblemKind(
    "currency_not_supported", 422, "The provider does not take this currency"
)
AMOUNT_NOT_SUPPORTED: Final = ProblemKind(
    "amount_not_supported", 422, "The provider does not take this amount"
)
PAYMENT_METHOD_NOT_FOUND: Final = ProblemKind(
    "payment_method_not_found", 422, "The account has no such payment method"
)
CAPTURE_EXCEEDS_AUTHORIZATION: Final = ProblemKind(
    "capture_exceeds_authorization", 422, "More than was authorized"
)
REFUND_EXCEEDS_PAYMENT: Final = ProblemKind(
    "refund_exceeds_payment", 422, "More than can be refunded"
)
REFERENCE_MALFORMED: Final = ProblemKind(
    "reference_malformed", 422, "The provider does not name anything like this"
)
AMOUNT_MISMATCH: Final = ProblemKind(
    "amount_mismatch", 422, "The amount found cannot be of what was asked for"
)
INSUFFICIENT_FUNDS: Final = ProblemKind(
    "insufficient_funds", 422, "The account has too little available"
)
ACCOUNT_TURNOVER_EXCEEDED: Final = ProblemKind(
    "account_turnover_exceeded", 422, "The account has moved as much as an account can"
)
RATE_LIMITED: Final = ProblemKind("rate_limited", 429, "Too many requests", retryable=True)
INTERNAL: Final = ProblemKind("internal", 500, "The request failed on our side", retryable=True)
# Whoever stood still knows no pace.
_RETRY_AFTER_S_MAX: Final = 30

OVERLOADED: Final = ProblemKind(
    "overloaded", 503, "More requests than can be served", retryable=True
)
FEED_BEHIND: Final = ProblemKind(
    "feed_behind", 503, "The feed of events is not as far as that yet", retryable=True
)
UNAVAILABLE: Final = ProblemKind(
    "unavailable", 503, "The service cannot answer now", retryable=True
)

KINDS: Final = tuple(each for each in tuple(globals().values()) if isinstance(each, ProblemKind))


_BY_CODE: Final = {each.code: each for each in KINDS}
# The field that a refusal is about, where the request could be right with another value there.
_POINTERS: Final = {
    RefusalCode.CURRENCY_NOT_SUPPORTED: "/currency",
    RefusalCode.AMOUNT_NOT_SUPPORTED: "/amount",
    RefusalCode.PAYMENT_METHOD_NOT_FOUND: f"/metadata/{METHOD_KEY}",
}


def kind_of(code: RefusalCode) -> ProblemKind:
    """How a business refusal is answered: by the kind of the same code."""
    return _BY_CODE[code]


def refusal(refused: Refused) -> Problem:
    """The problem a business refusal is, and which field it is about, if it is about one."""
    pointer = _POINTERS.get(refused.code)
    errors = (FieldError(refused.detail, pointer),) if pointer else ()
    present = _present(refused.present)
    return Problem(kind_of(refused.code), refused.detail, errors=errors, present=present)


def _present(row: Account | Payment | Refund | DeadLetter | None) -> dict[str, str | int]:
    """What a client can go by that is told no because of a row's state."""
    match row:
        case None:
            return {}
        case Account():
            return {"account_version": row.version}
        case Payment():
            return {"payment_status": row.status.value}
        case Refund():
            return {"refund_status": row.status.value}
        case DeadLetter():
            return {"dead_letter_state": row.state.value}
        case _:
            assert_never(row)


def invalid(*errors: FieldError, kind: ProblemKind = INVALID_REQUEST) -> Problem:
    """The problem of a request whose parts are not acceptable, each named."""
    first = errors[0]
    where = first.pointer if first.parameter is None else f"parameter {first.parameter}"
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    detail = f"{where or 'the body'} {first.reason}{more}"
    return Problem(kind, detail, errors=errors)


def overloaded(retry_after_s: float) -> Problem:
    """The problem of who comes when enough others wait, which will be done by then."""
    wait = {"Retry-After": str(min(max(1, math.ceil(retry_after_s)), _RETRY_AFTER_S_MAX))}
    return Problem(OVERLOADED, "more requests are waiting than is useful", headers=wait)


def answer(problem: Problem, asked: Asked) -> Answer:
    """The problem as an answer to one request."""
    kind, detail = problem.kind, redact_text(problem.detail)
    body: dict[str, object] = {
        "type": kind.type,
        "title": kind.title,
        "status": kind.status,
        "detail": detail,
        "instance": redact_text(asked.instance),
        "code": kind.code,
        "retryable": kind.retryable,
        "request_id": asked.request_id,
        "errors": [_error(each) for each in problem.errors],
        "error": detail,
        **problem.present,
    }
    return Answer(kind.status, {"Content-Type": CONTENT_TYPE, **problem.headers}, _encoded(body))


def _error(error: FieldError) -> dict[str, str]:
    if error.parameter is not None:
        return {"parameter": redact_text(error.parameter), "reason": redact_text(error.reason)}
    return {"pointer": redact_text(error.pointer or ""), "reason": redact_text(error.reason)}


def _encoded(body: dict[str, object]) -> bytes:
    try:
        return orjson.dumps(body)
    except TypeError:  # a path or a name with half a surrogate pair in it
        return json.dumps(body).encode()
