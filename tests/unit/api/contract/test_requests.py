"""What the request models take and refuse, field by field."""

from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.contract.requests.bodies import (
    CreateAccountBody,
    CreatePaymentBody,
    CreateTransferBody,
    RefundPaymentBody,
)
from api.contract.requests.queries import PaymentsQuery
from api.contract.requests.reading import parse_body, read_body, read_query
from api.http.problems import FieldError, Problem
from payments.commands import CreatePayment
from payments.currencies import EXPONENTS
from payments.money import AMOUNT_MINOR_MAX
from payments.payment import CaptureMethod, PaymentType, Provider
from providers.registry import NAMES

SOURCE = "0190a5e4-7b1c-7c3e-9d3f-0a7c1be25d10"
DESTINATION = "0190a5e4-7b1c-7c3e-9d3f-0a7c1be25d11"
EXTERNAL = {
    "payment_type": "external_payment",
    "source_account_id": SOURCE,
    "amount": "50.00",
    "currency": "USD",
    "provider": "stripe",
}
INTERNAL = {
    "payment_type": "internal_transfer",
    "source_account_id": SOURCE,
    "destination_account_id": DESTINATION,
    "amount": "50.00",
    "currency": "USD",
}


def _payment(body: bytes) -> CreatePayment:
    return read_body(CreatePaymentBody, parse_body(body), NAMES).command("tenant", "key")


def _refusals(body: bytes) -> dict[str | None, str]:
    with pytest.raises(Problem) as refusal:
        _payment(body)
    assert refusal.value.kind.status == 422
    return {error.pointer: error.reason for error in refusal.value.errors}


def test_a_payment_is_read_whole() -> None:
    """Every field arrives in the command, as what it is."""
    body = EXTERNAL | {
        "capture_method": "manual",
        "description": "Order 1",
        "metadata": {"order": 1, "share": 0.5, "tags": ["a"], "gift": True, "note": None},
    }
    assert _payment(orjson.dumps(body)) == CreatePayment(
        tenant_id="tenant",
        payment_type=PaymentType.EXTERNAL,
        source_account_id=UUID(SOURCE),
        destination_account_id=None,
        amount=_payment(orjson.dumps(EXTERNAL)).amount,
        provider=Provider("stripe"),
        capture_method=CaptureMethod.MANUAL,
        idempotency_key="key",
        description="Order 1",
        metadata={"order": 1, "share": 0.5, "tags": ["a"], "gift": True, "note": None},
    )


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("0.1", "USD", 10),
        ("1000.00", "USD", 100_000),
        ("1e2", "USD", 10_000),
        ('"1e2"', "USD", 10_000),
        ('"007.50"', "USD", 750),
        ("9007199254740.93", "USD", 900_719_925_474_093),
        ("10000000000000.00", "USD", 10**15),
        ("100", "JPY", 100),
        ("1.500", "KWD", 1500),
        ('"0.001"', "BHD", 1),
    ],
)
def test_an_amount_is_read_exactly_from_its_text(text: str, currency: str, minor: int) -> None:
    """Numbers and decimal strings mean their digits, in the currency's own decimals."""
    body = orjson.dumps(EXTERNAL | {"currency": currency}).replace(b'"50.00"', text.encode())
    assert _payment(body).amount.amount_minor == minor


@pytest.mark.parametrize(
    ("text", "currency", "reason"),
    [
        ("0", "USD", "must be more than zero"),
        ("0.00", "USD", "must be more than zero"),
        ("-1", "USD", "must not be negative"),
        ('"-0.01"', "USD", "must not be negative"),
        ("0.001", "USD", "has too many decimal places, USD has 2"),
        ("0.5", "JPY", "has too many decimal places, JPY has 0"),
        ("1.2345", "KWD", "has too many decimal places, KWD has 3"),
        ("1e400", "USD", "exceeds 1000000000000000 minor units"),
        ("10000000000000.01", "USD", "amount exceeds 1000000000000000 minor units"),
        ("9" * 65, "USD", "must be a decimal number"),
        ('"NaN"', "USD", "must be a decimal number"),
        ('"Infinity"', "USD", "must be a decimal number"),
        ('"1,000"', "USD", "must be a decimal number"),
        ('" 1"', "USD", "must be a decimal number"),
        ('"\u0661"', "USD", "must be a decimal number"),
        ('""', "USD", "must be a decimal number"),
        ("true", "USD", "must be a number or a decimal string"),
        ("null", "USD", "must be a number or a decimal string"),
        ("[1]", "USD", "must be a number or a decimal string"),
        ("{}", "USD", "must be a number or a decimal string"),
    ],
)
def test_an_amount_that_cannot_be_paid_is_refused(text: str, currency: str, reason: str) -> None:
    """What is not an exact, positive amount of the currency is refused, never rounded."""
    body = orjson.dumps(EXTERNAL | {"currency": currency}).replace(b'"50.00"', text.encode())
    assert _refusals(body) == {"/amount": reason}


@given(
    st.from_regex(r"\A-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,5})?([eE][+-]?[0-9]{1,2})?\Z"),
    st.sampled_from(sorted(EXPONENTS)),
    st.booleans(),
)
def test_an_amount_is_accepted_exactly_or_refused(text: str, currency: str, quoted: bool) -> None:  # noqa: FBT001 - drawn
    """Number or string alike: every digit is kept, and no more is refused than must be."""
    written, digits = Decimal(text), EXPONENTS[currency]
    _, _, power = written.as_tuple()
    assert isinstance(power, int)
    sent = f'"{text}"' if quoted else text
    body = orjson.dumps(EXTERNAL | {"currency": currency}).replace(b'"50.00"', sent.encode())
    if power >= -digits and 0 < written.scaleb(digits) <= AMOUNT_MINOR_MAX:
        assert Decimal(_payment(body).amount.amount_minor).scaleb(-digits) == written
    else:
        assert _refusals(body).keys() == {"/amount"}


WRONG: dict[str, list[object]] = {
    "payment_type": [None, 1, "", "EXTERNAL_PAYMENT", "refund", [], {}],
    "source_account_id": [None, 1, "", "x", SOURCE[:-1], SOURCE.replace("-", ""), [SOURCE], {}],
    "destination_account_id": [1, "", "x", f"{{{SOURCE}}}", f"urn:uuid:{SOURCE}", []],
    "currency": [None, 1, "", "usd", "US", "USDX", "XXX", "XAU", "BTC", [], {}],
    "provider": [1, "", "Stripe", "bank", [], {}],
    "capture_method": [None, 1, "", "later", True],
    "description": [1, True, [], {}, "x" * 501],
    "metadata": [
        None,
        1,
        "x",
        [],
        {"": 1},
        {"k" * 41: 1},
        {str(n): n for n in range(51)},
        {"k": "v" * 8192},
        {"k": {"deeper": 2**53}},
    ],
    "idempotency_key": ["x"],
    "tenant_id": ["other"],
    "status": ["completed"],
    "id": [SOURCE],
}


@pytest.mark.parametrize(
    ("field", "value"), [(field, value) for field, values in WRONG.items() for value in values]
)
def test_a_field_of_another_kind_is_refused_by_its_pointer(field: str, value: object) -> None:
    """Nothing is coerced, nothing unknown is ignored: the refusal points at the field."""
    assert list(_refusals(orjson.dumps(EXTERNAL | {field: value}))) == [f"/{field}"]


@pytest.mark.parametrize("number", ["1e400", "0.1000000000000000055", "9007199254740993"])
def test_metadata_a_reader_would_round_is_refused(number: str) -> None:
    """A number that a double cannot hold is refused rather than changed."""
    body = orjson.dumps(EXTERNAL | {"metadata": {"n": 0}}).replace(
        b'"n":0', f'"n":{number}'.encode()
    )
    reason = "has a number that readers would round: send it as a string"
    assert _refusals(body) == {"/metadata": reason}


@pytest.mark.parametrize("field", ["payment_type", "source_account_id", "amount", "currency"])
def test_a_missing_field_is_named(field: str) -> None:
    """What is required is asked for by name."""
    body = {name: value for name, value in EXTERNAL.items() if name != field}
    assert _refusals(orjson.dumps(body)) == {f"/{field}": "is required"}


@pytest.mark.parametrize(
    ("body", "pointer", "reason"),
    [
        (EXTERNAL | {"provider": None}, "/provider", "is required for external_payment"),
        (
            EXTERNAL | {"destination_account_id": DESTINATION},
            "/destination_account_id",
            "is not taken for external_payment",
        ),
        (
            INTERNAL | {"destination_account_id": None},
            "/destination_account_id",
            "is required for internal_transfer",
        ),
        (INTERNAL | {"provider": "stripe"}, "/provider", "is not taken for internal_transfer"),
        (
            INTERNAL | {"capture_method": "manual"},
            "/capture_method",
            "must be automatic for internal_transfer",
        ),
    ],
)
def test_fields_that_do_not_go_together_are_refused(
    body: dict[str, object], pointer: str, reason: str
) -> None:
    """An external payment has a provider and no destination; a transfer the other way round."""
    assert _refusals(orjson.dumps(body)) == {pointer: reason}


def test_all_that_is_wrong_is_said_at_once() -> None:
    """A client learns of every wrong field in one answer, but not of a thousand."""
    assert len(_refusals(b'{"amount": true, "currency": "usd"}')) == 4
    many = orjson.dumps(EXTERNAL | {f"x{n}": n for n in range(1000)})
    assert len(_refusals(many)) == 20


@pytest.mark.parametrize("body", [b"[]", b"1", b'"x"', b"null", b"true"])
def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    """JSON of another kind is no request."""
    assert _refusals(body) == {"": "must be a JSON object"}


def test_an_account_may_open_with_nothing() -> None:
    """The balance is 0 where none is given, and 0 is allowed."""
    for text in (b'{"user_id": "u", "currency": "JPY"}',
                 b'{"user_id": "u", "currency": "JPY", "initial_balance": 0}'):  # fmt: skip
        body = read_body(CreateAccountBody, parse_body(text), NAMES)
        assert body.command("tenant").initial_balance.amount_minor == 0


@pytest.mark.parametrize(
    ("model", "body", "pointer"),
    [
        (CreateAccountBody, {"user_id": "", "currency": "USD"}, "/user_id"),
        (CreateAccountBody, {"user_id": "x" * 256, "currency": "USD"}, "/user_id"),
        (CreateAccountBody, {"user_id": 7, "currency": "USD"}, "/user_id"),
        (RefundPaymentBody, {"reason": ""}, "/reason"),
        (RefundPaymentBody, {"amount": []}, "/amount"),
        (RefundPaymentBody, {"currency": "USD"}, "/currency"),
        (CreateTransferBody, INTERNAL, "/payment_type"),
    ],
)
def test_other_bodies_are_as_strict(
    model: type[CreateAccountBody], body: dict[str, object], pointer: str
) -> None:
    """Each model refuses by pointer."""
    with pytest.raises(Problem) as refusal:
        read_body(model, parse_body(orjson.dumps(body)), NAMES)
    assert [error.pointer for error in refusal.value.errors] == [pointer]


def test_a_query_is_read_whole() -> None:
    """Every filter arrives as what it is; times in any zone are one instant."""
    query = read_query(
        PaymentsQuery,
        [
            ("status", "completed"),
            ("account_id", SOURCE.upper()),
            ("provider", "paypal"),
            ("currency", "EUR"),
            ("created[gte]", "2026-01-31T12:00:00.123456789+02:00"),
            ("created[lt]", "2026-02-01T00:00:00Z"),
            ("limit", "100"),
        ],
        NAMES,
    )
    assert query.created_from == datetime(2026, 1, 31, 10, 0, 0, 123456, UTC)
    assert (query.account_id, query.limit) == (UUID(SOURCE), 100)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(("limit", text) for text in ("0", "101", "-1", "1.0", "", "x", "٣", "1e1", "9" * 50)),
        *(("status", text) for text in ("", "COMPLETED", "done")),
        *(("account_id", text) for text in ("", "x", SOURCE + "0")),
        *(("provider", text) for text in ("", "bank")),
        *(("currency", text) for text in ("", "usd", "XXX")),
        *(
            ("created[gte]", text)
            for text in ("", "yesterday", "2026-01-31", "2026-01-31T12:00:00", "1769860800",
                         "2026-02-30T00:00:00Z", "0000-01-01T00:00:00Z",
                         "0001-01-01T00:00:00+23:00")
        ),
        ("cursor", "x" * 201),
        ("offset", "1"),
        ("stage", "charge"),
        ("status\0", "completed"),
        ("cursor", "\0"),
        ("cursor", "\ud800"),
    ],
)  # fmt: skip
def test_a_parameter_that_cannot_be_read_is_refused_by_name(name: str, text: str) -> None:
    """Nothing is guessed and nothing unknown ignored: the refusal names the parameter."""
    with pytest.raises(Problem) as refusal:
        read_query(PaymentsQuery, [(name, text)], NAMES)
    assert [error.parameter for error in refusal.value.errors] == [name]


def test_a_parameter_given_twice_is_refused() -> None:
    """Nobody has to guess which of the two counts."""
    with pytest.raises(Problem) as refusal:
        read_query(PaymentsQuery, [("limit", "1"), ("limit", "2")], NAMES)
    assert refusal.value.errors == (FieldError("appears twice", parameter="limit"),)
