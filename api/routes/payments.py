"""Payments: accept one, list them; cancel, capture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from api.access.scopes import Scope
from api.contract.requests.bodies import (
    CancelPaymentBody,
    CapturePaymentBody,
    CreatePaymentBody,
    positive_amount_in,
)
from api.contract.requests.queries import PaymentsQuery
from api.contract.responses.answers import JSON, Page
from api.contract.responses.payments import PaymentResponse
from api.contract.responses.rendered import payment_json
from api.contract.route import Route, Success
from api.handling.call import Call
from api.handling.cursors import BY_ID
from api.handling.lists import Listing
from api.handling.submission import Answered, Rendering, commit
from api.handling.waiting import Wait
from api.http.preconditions import accepted_versions
from api.http.problems import PAYMENT_NOT_FOUND
from api.idempotency.key import KeyUse
from payments.commands import CancelPayment, CapturePayment, CreatePayment
from payments.payment import Payment
from payments.record import replace
from store.read.payments import PaymentFilters, payment_by_id, payments_page
from store.write.group_commit import Answer

if TYPE_CHECKING:
    from uuid import UUID

    from payments.decision import Result
    from payments.money import Money


async def create_payment(call: Call) -> Answer:
    body = await call.body(CreatePaymentBody)
    command = body.command(call.tenant_id, call.idempotency_key)
    wait = Wait.of(call, _ended)
    committed = await accepted(call, command, wait.rendering(_accepted))
    return await wait.answer(call, committed)


async def list_payments(call: Call) -> Answer:
    query = call.query(PaymentsQuery)
    return await _PAYMENTS.answer(call, query, query.filters(PaymentFilters))


async def cancel_payment(call: Call) -> Answer:
    payment_id = _known_id(call)
    await call.body(CancelPaymentBody)
    command = CancelPayment(tenant_id=call.tenant_id, payment_id=payment_id)
    wait = Wait.of(call, _changed, unless_asked=_VOID_SECONDS)
    return await wait.answer(call, await commit(call, command, wait.rendering(_changed)))


async def capture_payment(call: Call) -> Answer:
    payment_id = _known_id(call)
    body = await call.body(CapturePaymentBody)
    amount = await amount_of(call, payment_id, body.amount)
    command = CapturePayment(tenant_id=call.tenant_id, payment_id=payment_id, amount=amount)
    return (await commit(call, command, _accepted)).answer


async def accepted(call: Call, command: CreatePayment, render: Rendering) -> Answered:
    """Commit a payment within its account's limit, if the account is at a version asked for."""
    command = replace(command, source_versions=accepted_versions(call.request.headers))
    await call.limit_account(command.source_account_id)
    committed = await commit(call, command, render)
    if isinstance(committed.result, Payment):
        structlog.contextvars.bind_contextvars(payment_id=str(committed.result.id))
    return committed


async def amount_of(call: Call, payment_id: UUID, text: str | None) -> Money | None:
    """An amount in the currency of the payment, which never changes; None stands for all of it.

    Of a payment that is not there nothing is asked: the command will be refused for that.
    """
    if text is None:
        return None
    async with call.database() as connection:
        payment = await payment_by_id(connection, call.tenant_id, payment_id)
    return positive_amount_in(payment.currency, text) if payment else None


def payment_answer(status: int, result: Result) -> Answer:
    """A new payment as an answer that says where it is."""
    assert isinstance(result, Payment), "a payment was asked for"
    headers = {**JSON, "Location": f"/api/v1/payments/{result.id}"}
    return Answer(status, headers, payment_json(result))


def _known_id(call: Call) -> UUID:
    payment_id = call.path_id(PAYMENT_NOT_FOUND)
    structlog.contextvars.bind_contextvars(payment_id=str(payment_id))
    return payment_id


def _accepted(result: Result) -> Answer:
    return payment_answer(202, result)


def _ended(result: Result) -> Answer:
    return payment_answer(200, result)


def _changed(result: Result) -> Answer:
    assert isinstance(result, Payment), "cancelling gives a payment"
    return Answer(200, JSON, payment_json(result))


_PAYMENTS: Final = Listing(
    read=payments_page,
    order=BY_ID,
    position=lambda payment: payment.id,
    page=Page[PaymentResponse],
    row=PaymentResponse.of,
    json=payment_json,
)
_LOCATION: Final = {"Location": "The payment's address."}
# A provider answers a void within a second, mostly; a client waits some for an answer.
_VOID_SECONDS: Final = 5

ROUTES: Final = (
    Route(
        method="POST",
        path="/api/v1/payments",
        handler=create_payment,
        scope=Scope.PAYMENTS_WRITE,
        summary="Accept a payment: durable when answered, charged soon after.",
        tag="Payments",
        body=CreatePaymentBody,
        key_use=KeyUse.REQUIRED,
        takes_if_match=True,
        may_wait=True,
        successes={
            202: Success("Accepted; follow it at its address.", PaymentResponse, headers=_LOCATION),
            200: Success(
                "`Prefer: wait` was honoured: the payment in its terminal state.",
                PaymentResponse,
                headers=_LOCATION,
            ),
        },
    ),
    Route(
        method="GET",
        path="/api/v1/payments",
        handler=list_payments,
        scope=Scope.PAYMENTS_READ,
        summary="Payments, newest first.",
        tag="Payments",
        query=PaymentsQuery,
        successes={200: Success("A page of payments.", Page[PaymentResponse])},
    ),
    Route(
        method="POST",
        path="/api/v1/payments/{id}/cancel",
        handler=cancel_payment,
        scope=Scope.PAYMENTS_WRITE,
        summary="Cancel a payment no provider was asked about, or void an authorized one.",
        tag="Payments",
        body=CancelPaymentBody,
        key_use=KeyUse.ACCEPTED,
        may_wait=True,
        refusals=(409,),
        successes={
            200: Success(
                "The payment, cancelled; or as it is, if its provider is slow to answer a void. "
                "Without `Prefer` that is waited for up to five seconds.",
                PaymentResponse,
            )
        },
    ),
    Route(
        method="POST",
        path="/api/v1/payments/{id}/capture",
        handler=capture_payment,
        scope=Scope.PAYMENTS_WRITE,
        summary="Capture an authorized payment, all of it or less.",
        tag="Payments",
        body=CapturePaymentBody,
        key_use=KeyUse.REQUIRED,
        refusals=(409,),
        successes={202: Success("The capture was asked for.", PaymentResponse, headers=_LOCATION)},
    ),
)
