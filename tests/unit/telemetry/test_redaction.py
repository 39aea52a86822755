"""No secret leaves the process in a log line, and what is no secret stays readable."""

import pytest

from telemetry.redaction import REDACTED, is_card, redact_event, redact_text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("key pk_live_4f9a8b7c6d5e", "key pk_[redacted]"),
        ("sk_test_51HxyzABCdef", "sk_[redacted]"),
        ("signed with whsec_MfKQ9r8GKYqrTwjU", "signed with whsec_[redacted]"),
        ("Authorization: Bearer abc.def-ghi", "Authorization: Bearer [redacted]"),
        ("Basic dXNlcjpwYXNz was sent", "Basic [redacted] was sent"),
        ("postgresql://payments:hunter2@db:5432/x", "postgresql://payments:[redacted]@db:5432/x"),
        ("host=db password=hunter2 port=5", "host=db password=[redacted] port=5"),
        ("{'api_key': 'abc123'}", "{'api_key': '[redacted]'}"),
        ("card 4242 4242 4242 4242 declined", "card [redacted] declined"),
        ("card 4242-4242-4242-4242.", "card [redacted]."),
        ("378282246310005", "[redacted]"),
    ],
)
def test_a_secret_in_text_is_replaced_and_its_kind_stays(text: str, expected: str) -> None:
    """Keys, credentials, passwords and card numbers go; the words around them stay."""
    assert redact_text(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "payment 019a1b2c-4f3e-7a2b-8c23-9fa45d78e012 accepted",
        "12345678-1234-7123-8123-123456789012",
        "4242 4242 4242 4241 fails the check digit",
        "0/16B3748 confirmed, 1795453033587 ms",
        "idempotency key reused",
        "lock_miss of user@example.com",
        "basically done, bearers of news",
    ],
)
def test_what_is_no_secret_is_left_alone(text: str) -> None:
    """UUIDs, positions, timestamps and ordinary words survive."""
    assert redact_text(text) == text


def test_an_event_without_secrets_is_the_same_object() -> None:
    """The common line pays for the scan only."""
    event: dict[str, object] = {
        "message": "payment accepted",
        "payment_id": "019a1b2c-4f3e-7a2b-8c23-9fa45d78e012",
        "amount_minor": 1000,
        "retriable": False,
        "seconds": 0.25,
        "provider": None,
    }
    assert redact_event(event) is event


@pytest.mark.parametrize(
    "key",
    ["Authorization", "password", "PAYMENTS_DATABASE_PASSWORD", "api_key", "apiKey", "cookie",
     "client_secret", "access_token", "card_number", "cvc", "card_cvv"],
)  # fmt: skip
def test_a_sensitive_name_is_enough_whatever_the_value(key: str) -> None:
    """A value is hidden by the name it stands under, at any depth."""
    event: dict[str, object] = {key: "x", "headers": {key: ["y"], "accept": "z"}}
    assert redact_event(event) == {key: REDACTED, "headers": {key: REDACTED, "accept": "z"}}


def test_names_that_only_resemble_sensitive_ones_are_kept() -> None:
    """An idempotency key is needed to debug and opens nothing."""
    event: dict[str, object] = {"idempotency_key": "order-1", "keys": "2", "cards": 3}
    assert redact_event(event) == event


def test_values_nested_in_any_container_are_walked() -> None:
    """Lists, tuples and foreign objects are looked into by what they would print."""

    class Opaque:
        def __str__(self) -> str:
            return "Bearer abcdef"

    event: dict[str, object] = {
        "bodies": [("sk_live_123456",), {"n": 4242424242424242}],
        "object": Opaque(),
        "n": 4242424242424242,
    }
    assert redact_event(event) == {
        "bodies": [["sk_[redacted]"], {"n": REDACTED}],
        "object": "Bearer [redacted]",
        "n": REDACTED,
    }


@pytest.mark.parametrize(
    ("digits", "expected"),
    [
        ("4242424242424242", True),
        ("5555 5555 5555 4444", True),
        ("378282246310005", True),
        ("4242424242424241", False),
        ("424242", False),
    ],
)
def test_a_card_number_is_told_by_its_check_digit(digits: str, *, expected: bool) -> None:
    """Luhn's check, over 13 digits or more."""
    assert is_card(digits) is expected
