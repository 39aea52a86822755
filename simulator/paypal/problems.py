"""PayPal's refusals, each in one place: name, issue, wording and status."""

from __future__ import annotations

from typing import Final

from simulator.paypal.records import Problem
from simulator.vendor import Refused

_MESSAGES: Final = {
    "INVALID_REQUEST": "Request is not well-formed, syntactically incorrect, or violates schema.",
    "UNPROCESSABLE_ENTITY": (
        "The requested action could not be performed, semantically incorrect, or failed "
        "business validation."
    ),
    "RESOURCE_NOT_FOUND": "The specified resource does not exist.",
    "RESOURCE_CONFLICT": "The server has detected a conflict while processing this request.",
    "RATE_LIMIT_REACHED": "Too many requests. Blocked due to rate limiting.",
    "INTERNAL_SERVER_ERROR": "An internal server error has occurred.",
    "NOT_AUTHORIZED": (
        "Authorization failed due to insufficient permissions or invalid credentials."
    ),
}
_STATUSES: Final = {
    "INVALID_REQUEST": 400,
    "RESOURCE_NOT_FOUND": 404,
    "RESOURCE_CONFLICT": 409,
    "UNPROCESSABLE_ENTITY": 422,
    "RATE_LIMIT_REACHED": 429,
}
DESCRIPTIONS: Final = {
    "ACTION_DOES_NOT_MATCH_INTENT": (
        "Order was created with another intent. Use the endpoint of that intent, or create an "
        "order with the intent of this one."
    ),
    "AUTHORIZATION_ALREADY_CAPTURED": "Authorization has previously been captured.",
    "AUTHORIZATION_VOIDED": "A voided authorization cannot be captured or reauthorized.",
    "AUTH_CAPTURE_CURRENCY_MISMATCH": (
        "Currency of capture must be the same as currency of authorization."
    ),
    "CANNOT_BE_ZERO_OR_NEGATIVE": (
        "Must be greater than zero. If the currency supports decimals, only two decimal place "
        "precision is supported."
    ),
    "CAPTURE_FULLY_REFUNDED": "The capture has already been fully refunded",
    "CARD_EXPIRED": "The card is expired",
    "DECIMALS_NOT_SUPPORTED": "Currency does not support decimals.",
    "DECIMAL_PRECISION": (
        "If the currency supports decimals, only two decimal place precision is supported."
    ),
    "DUPLICATE_INVOICE_ID": (
        "Duplicate Invoice ID detected. To avoid a potential duplicate transaction your account "
        "setting requires that Invoice Id be unique for each transaction."
    ),
    "INSTRUMENT_DECLINED": (
        "The instrument presented was either declined by the processor or bank, or it can't be "
        "used for this payment."
    ),
    "INVALID_CURRENCY_CODE": "Currency code is invalid or is not currently supported.",
    "INVALID_PARAMETER_SYNTAX": "The value of a field does not conform to the expected format.",
    "INVALID_PARAMETER_VALUE": "The value of a field is invalid.",
    "INVALID_RESOURCE_ID": (
        "Specified resource ID does not exist. Please check the resource ID and try again."
    ),
    "INVALID_STRING_LENGTH": "The value of a field is either too short or too long.",
    "MALFORMED_REQUEST_JSON": "The request JSON is not well formed.",
    "MAX_CAPTURE_AMOUNT_EXCEEDED": "Capture amount exceeds allowable limit.",
    "MISSING_REQUIRED_PARAMETER": "A required field / parameter is missing.",
    "MSP_NOT_SUPPORTED": "Multiple purchase units are not supported for this operation.",
    "ORDER_ALREADY_AUTHORIZED": (
        "Order already authorized. If 'intent=AUTHORIZE' only one authorization per order is "
        "allowed."
    ),
    "ORDER_ALREADY_CAPTURED": (
        "Order already captured. If 'intent=CAPTURE' only one capture per order is allowed."
    ),
    "ORDER_NOT_APPROVED": "Payer has not yet approved the Order for payment.",
    "PAYEE_BLOCKED_TRANSACTION": (
        "The Fraud settings for this seller are such that this payment cannot be executed."
    ),
    "PAYER_CANNOT_PAY": (
        "Combination of payer and payee settings mean that this buyer cannot pay this seller."
    ),
    "PAYPAL_REQUEST_ID_REQUIRED": (
        "A PayPal-Request-Id is required if you are trying to process payment for an Order."
    ),
    "PENDING_CAPTURE": (
        "Cannot initiate a refund as the capture is pending. Capture is typically pending when the "
        "payer has funded the transaction using e-check/bank funded."
    ),
    "PREVIOUSLY_CAPTURED": (
        "Authorization has been previously captured and hence cannot be voided."
    ),
    "PREVIOUSLY_VOIDED": (
        "Authorization has been previously voided and hence cannot be voided again."
    ),
    "PREVIOUS_REQUEST_IN_PROGRESS": (
        "A previous request on this resource is currently in progress. Please wait for sometime "
        "and try again."
    ),
    "REFUND_AMOUNT_EXCEEDED": (
        "The refund amount must be less than or equal to the capture amount that has not yet "
        "been refunded."
    ),
    "REFUND_CAPTURE_CURRENCY_MISMATCH": "Refund must be in the same currency as the capture",
    "REFUND_FAILED_INSUFFICIENT_FUNDS": (
        "Capture could not be refunded due to insufficient funds."
    ),
    "REFUND_NOT_ALLOWED": "Capture cannot be refunded.",
    "REFUND_NOT_PERMITTED_DUE_TO_CHARGEBACK": (
        "Refunds are not allowed on this capture due to a chargeback on the card or bank. Please "
        "contact the payee to resolve the chargeback."
    ),
    "TRANSACTION_DISPUTED": (
        "Partial refunds cannot be offered at this time because there is an open case on this "
        "transaction. Visit the PayPal Resolution Center to review this case."
    ),
    "TRANSACTION_REFUSED": "The request was refused.",
}


def problem(name: str, issue: str | None = None, field: str | None = None) -> Problem:
    """A refusal by its name and issue; an unknown issue gets its own words."""
    words = (issue or "").replace("_", " ").capitalize() + "."
    return Problem(
        status=_STATUSES[name],
        name=name,
        message=_MESSAGES[name],
        issue=issue,
        description=DESCRIPTIONS.get(issue, words) if issue is not None else None,
        field=field,
    )


def malformed(issue: str, field: str | None = None) -> Refused:
    """400: the request violates the schema."""
    found = problem("INVALID_REQUEST", issue, field)
    return Refused(found, found.status, issue)


def unprocessable(issue: str, field: str | None = None) -> Refused:
    """422 found while reading the request."""
    found = problem("UNPROCESSABLE_ENTITY", issue, field)
    return Refused(found, found.status, issue)


def not_found(field: str) -> Refused:
    """404 for the id in a path."""
    found = problem("RESOURCE_NOT_FOUND", "INVALID_RESOURCE_ID", field)
    return Refused(found, found.status, "RESOURCE_NOT_FOUND")


def unauthorized(message: str, name: str = "invalid_token") -> Refused:
    """401 in the shape of OAuth 2, which PayPal's gateway uses for tokens."""
    return Refused(Problem(status=401, name=name, message=message), 401, name)


def server_error(status: int) -> Problem:
    """Something broke on PayPal's side."""
    return Problem(
        status=status,
        name="INTERNAL_SERVER_ERROR",
        message=_MESSAGES["INTERNAL_SERVER_ERROR"],
    )


def body(found: Problem, debug_id: str) -> dict[str, object]:
    """The problem as PayPal's error model, or OAuth's for a token."""
    if found.name.islower():
        return {"error": found.name, "error_description": found.message}
    shown: dict[str, object] = {
        "name": found.name,
        "message": found.message,
        "debug_id": debug_id,
    }
    if found.issue is not None:
        detail = {"issue": found.issue, "description": found.description}
        if found.field is not None:
            detail |= {"field": found.field, "location": "body"}
        shown["details"] = [detail]
        href = f"https://developer.paypal.com/docs/api/orders/v2/#error-{found.issue}"
        shown["links"] = [{"href": href, "rel": "information_link", "method": "GET"}]
    return shown
