"""Problems: one kind a refusal, stable codes, and nothing said that should not be."""

import orjson
import pytest

from api.contract.responses.problems import ProblemResponse
from api.http import problems
from api.http.problems import KINDS, Asked, FieldError, Problem, answer, invalid, kind_of, refusal
from payments.decision import RefusalCode, Refused
from payments.payment import Payment
from tests.support.factories import pay
from tests.support.payments.desk import Desk, granted

STATUS = {
    RefusalCode.ACCOUNT_NOT_FOUND: 404,
    RefusalCode.PAYMENT_NOT_FOUND: 404,
    RefusalCode.REFUND_NOT_FOUND: 404,
    RefusalCode.DEAD_LETTER_NOT_FOUND: 404,
    RefusalCode.NOT_FOUND: 404,
    RefusalCode.PRECONDITION_FAILED: 412,
    RefusalCode.SAME_ACCOUNT: 422,
    RefusalCode.ACCOUNT_NOT_ACTIVE: 422,
    RefusalCode.CURRENCY_MISMATCH: 422,
    RefusalCode.OPERATION_NOT_SUPPORTED: 422,
    RefusalCode.CURRENCY_NOT_SUPPORTED: 422,
    RefusalCode.AMOUNT_NOT_SUPPORTED: 422,
    RefusalCode.PAYMENT_METHOD_NOT_FOUND: 422,
    RefusalCode.PAYMENT_METHOD_TAKEN: 409,
    RefusalCode.PAYMENT_NOT_CANCELLABLE: 409,
    RefusalCode.PAYMENT_NOT_CAPTURABLE: 409,
    RefusalCode.CAPTURE_EXCEEDS_AUTHORIZATION: 422,
    RefusalCode.PAYMENT_NOT_REFUNDABLE: 409,
    RefusalCode.REFUND_EXCEEDS_PAYMENT: 422,
    RefusalCode.INSUFFICIENT_FUNDS: 422,
    RefusalCode.ACCOUNT_TURNOVER_EXCEEDED: 422,
    RefusalCode.PAYMENT_NOT_RESOLVABLE: 409,
    RefusalCode.REFUND_NOT_RESOLVABLE: 409,
    RefusalCode.ATTEMPT_IN_FLIGHT: 409,
    RefusalCode.AMOUNT_MISMATCH: 422,
    RefusalCode.REFERENCE_MALFORMED: 422,
    RefusalCode.DEAD_LETTER_NOT_PARKED: 409,
    RefusalCode.DEAD_LETTER_NOT_REDRIVABLE: 409,
    RefusalCode.NOT_CLAIMABLE: 409,
    RefusalCode.BEHIND_DEAD_LETTER: 409,
    RefusalCode.WEBHOOK_ENDPOINT_NOT_ENABLED: 409,
    RefusalCode.WEBHOOK_ENDPOINTS_EXHAUSTED: 409,
}


@pytest.mark.parametrize("code", RefusalCode)
def test_every_refusal_has_its_status_and_its_own_code(code: RefusalCode) -> None:
    """The code a client reads is the core's own; only who came in between may try again."""
    kind = kind_of(code)
    assert (kind.code, kind.status) == (code.value, STATUS[code])
    assert kind.retryable == (code is RefusalCode.ATTEMPT_IN_FLIGHT)


def test_codes_are_unique_and_named_as_their_constants() -> None:
    """One code, one meaning; the page of problems can link to each."""
    assert len({kind.code for kind in KINDS}) == len(KINDS)
    assert all(getattr(problems, kind.code.upper()) is kind for kind in KINDS)


def test_only_what_may_succeed_later_is_retryable() -> None:
    """A request that is refused for what it is will be refused again."""
    assert {kind.code for kind in KINDS if kind.retryable} == {
        "attempt_in_flight",
        "feed_behind",
        "idempotency_key_in_flight",
        "internal",
        "overloaded",
        "rate_limited",
        "request_timeout",
        "unavailable",
    }


def test_a_problem_says_everything_there_is_to_say() -> None:
    """The members of RFC 9457, our own, and the seed's `error`."""
    problem = refusal(Refused(RefusalCode.INSUFFICIENT_FUNDS, "too little"))
    answered = answer(problem, Asked("/api/v1/payments", "r-1"))
    assert answered.status == 422
    assert answered.headers["Content-Type"] == "application/problem+json"
    assert orjson.loads(answered.body) == {
        "type": "/docs/problems#insufficient_funds",
        "title": "The account has too little available",
        "status": 422,
        "detail": "too little",
        "instance": "/api/v1/payments",
        "code": "insufficient_funds",
        "retryable": False,
        "request_id": "r-1",
        "errors": [],
        "error": "too little",
    }


def test_a_refusal_about_one_field_points_at_it() -> None:
    """As what is wrong with the field alone does, so that a form can show it there."""
    problem = refusal(Refused(RefusalCode.AMOUNT_NOT_SUPPORTED, "too little for Stripe"))
    assert problem.errors == (FieldError("too little for Stripe", "/amount"),)
    assert refusal(Refused(RefusalCode.INSUFFICIENT_FUNDS, "too little")).errors == ()


def test_who_is_refused_for_a_state_is_told_it() -> None:
    """An account's version, a payment's status or a letter's state is a member; never two."""
    desk = Desk()
    account = desk.open_account()
    payment = granted(desk.ask(pay(account.id))).result
    assert isinstance(payment, Payment)
    letter = desk.working.dead_letters[desk.letter_about(payment)]
    for present, member in (
        (account, {"account_version": 1}),
        (payment, {"payment_status": "pending"}),
        (letter, {"dead_letter_state": "parked"}),
        (None, {}),
    ):
        problem = refusal(Refused(RefusalCode.NOT_CLAIMABLE, "no", present))
        body = orjson.loads(answer(problem, Asked("/", "r")).body)
        stated = {"account_version", "payment_status", "dead_letter_state"} & body.keys()
        assert {name: body[name] for name in stated} == member
        ProblemResponse.model_validate(body)


def test_each_wrong_part_is_listed_and_the_first_is_told() -> None:
    """`errors` has pointers and parameters; `detail` reads as a sentence."""
    problem = invalid(
        FieldError("is required", "/amount"), FieldError("is not known here", parameter="offset")
    )
    assert problem.detail == "/amount is required (and 1 more)"
    body = orjson.loads(answer(problem, Asked("/", "r")).body)
    assert body["errors"] == [
        {"pointer": "/amount", "reason": "is required"},
        {"parameter": "offset", "reason": "is not known here"},
    ]


@pytest.mark.parametrize(
    "secret", ["pk_0123456789abcdef_QWxsIHRoaXMgaXMgc2VjcmV0", "4242 4242 4242 4242"]
)
def test_a_secret_sent_in_the_wrong_place_is_not_repeated(secret: str) -> None:
    """A key or a card number in a field's name or a path comes back redacted."""
    problem = invalid(FieldError("is not known here", f"/{secret}"))
    body = answer(problem, Asked("/", "r")).body.decode()
    assert secret not in body
    assert "[redacted]" in body


def test_a_problem_can_always_be_written() -> None:
    """Half a surrogate pair in a detail is escaped, not an error."""
    problem = Problem(problems.NOT_FOUND, "\ud800")
    assert orjson.loads(answer(problem, Asked("/", "r")).body.replace(rb"\ud800", b"?"))
