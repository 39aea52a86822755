"""Refunds: ask for one, read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from api.access.scopes import Scope
from api.contract.requests.bodies import RefundPaymentBody
from api.contract.responses.answers import json_answer
from api.contract.responses.refunds import RefundResponse
from api.contract.route import Route, Success
from api.handling.submission import commit
from api.http.problems import PAYMENT_NOT_FOUND, REFUND_NOT_FOUND, Problem
from api.idempotency.key import KeyUse
from api.routes.payments import amount_of
from payments.commands import RefundPayment
from payments.refund import Refund
from store.read.refunds import refund_by_id

if TYPE_CHECKING:
    from api.handling.call import Call
    from payments.decision import Result
    from store.write.group_commit import Answer


async def refund_payment(call: Call) -> Answer:
    payment_id = call.path_id(PAYMENT_NOT_FOUND)
    structlog.contextvars.bind_contextvars(payment_id=str(payment_id))
    body = await call.body(RefundPaymentBody)
    command = RefundPayment(
        tenant_id=call.tenant_id,
        payment_id=payment_id,
        amount=await amount_of(call, payment_id, body.amount),
        reason=body.reason,
        idempotency_key=call.idempotency_key,
    )
    return (await commit(call, command, _promised)).answer


async def get_refund(call: Call) -> Answer:
    refund_id = call.path_id(REFUND_NOT_FOUND)
    async with call.database() as connection:
        refund = await refund_by_id(connection, call.tenant_id, refund_id)
    if refund is None:
        raise Problem(REFUND_NOT_FOUND, f"there is no refund {refund_id}")
    return json_answer(200, RefundResponse.of(refund))


def _promised(result: Result) -> Answer:
    """Of an external payment the refund is still to be made; of a transfer it is done."""
    assert isinstance(result, Refund), "refunding gives a refund"
    status = 202 if result.provider else 201
    location = {"Location": f"/api/v1/refunds/{result.id}"}
    return json_answer(status, RefundResponse.of(result), location)


_LOCATION: Final = {"Location": "The refund's address."}

ROUTES: Final = (
    Route(
        method="POST",
        path="/api/v1/payments/{id}/refund",
        handler=refund_payment,
        scope=Scope.REFUNDS_WRITE,
        summary="Give money back: all that is left of a payment, or a part.",
        tag="Refunds",
        body=RefundPaymentBody,
        key_use=KeyUse.REQUIRED,
        refusals=(409,),
        successes={
            202: Success("The refund was accepted.", RefundResponse, headers=_LOCATION),
            201: Success("The transfer was refunded.", RefundResponse, headers=_LOCATION),
        },
    ),
    Route(
        method="GET",
        path="/api/v1/refunds/{id}",
        handler=get_refund,
        scope=Scope.PAYMENTS_READ,
        summary="A refund.",
        tag="Refunds",
        successes={200: Success("The refund.", RefundResponse)},
    ),
)
