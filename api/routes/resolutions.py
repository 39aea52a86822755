"""An operator ends a doubt about a payment or a refund, signed: what was found at its provider."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from api.access.scopes import Scope
from api.contract.requests.bodies import ResolveBody
from api.contract.responses.answers import json_answer
from api.contract.responses.payments import PaymentResponse
from api.contract.responses.refunds import RefundResponse
from api.contract.route import Route, Success
from api.handling.submission import commit
from api.http.problems import PAYMENT_NOT_FOUND, REFUND_NOT_FOUND, Problem
from api.idempotency.key import KeyUse
from payments.payment import Payment
from payments.refund import Refund
from payments.resolution import ResolvePayment, ResolveRefund
from store.read.payments import payment_by_id
from store.read.refunds import refund_by_id

if TYPE_CHECKING:
    from api.handling.call import Call
    from payments.decision import Result
    from store.write.group_commit import Answer


async def resolve_payment(call: Call) -> Answer:
    payment_id = call.path_id(PAYMENT_NOT_FOUND)
    structlog.contextvars.bind_contextvars(payment_id=str(payment_id))
    body = await call.body(ResolveBody)
    # Its currency, which says what amount the text is, never changes.
    async with call.database() as connection:
        payment = await payment_by_id(connection, call.tenant_id, payment_id)
    if payment is None:
        raise Problem(PAYMENT_NOT_FOUND, f"there is no payment {payment_id}")
    verdict = body.verdict(payment.currency)
    command = ResolvePayment(
        payment_id, call.asker.actor, body.reason, verdict, tenant_id=call.tenant_id
    )
    return (await commit(call, command, _resolved_payment)).answer


async def resolve_refund(call: Call) -> Answer:
    refund_id = call.path_id(REFUND_NOT_FOUND)
    body = await call.body(ResolveBody)
    async with call.database() as connection:
        refund = await refund_by_id(connection, call.tenant_id, refund_id)
    if refund is None:
        raise Problem(REFUND_NOT_FOUND, f"there is no refund {refund_id}")
    structlog.contextvars.bind_contextvars(payment_id=str(refund.payment_id))
    verdict = body.verdict(refund.amount.currency)
    command = ResolveRefund(
        refund_id, call.asker.actor, body.reason, verdict, tenant_id=call.tenant_id
    )
    return (await commit(call, command, _resolved_refund)).answer


def _resolved_payment(result: Result) -> Answer:
    assert isinstance(result, Payment), "resolving a payment gives the payment"
    return json_answer(200, PaymentResponse.of(result))


def _resolved_refund(result: Result) -> Answer:
    assert isinstance(result, Refund), "resolving a refund gives the refund"
    return json_answer(200, RefundResponse.of(result))


ROUTES: Final = (
    Route(
        method="POST",
        path="/api/v1/payments/{id}/resolve",
        handler=resolve_payment,
        scope=Scope.OPS,
        summary="End the doubt about a payment in unknown or review, by what was found.",
        tag="Operations",
        body=ResolveBody,
        key_use=KeyUse.REQUIRED,
        refusals=(409,),
        successes={200: Success("The payment, resolved.", PaymentResponse)},
    ),
    Route(
        method="POST",
        path="/api/v1/refunds/{id}/resolve",
        handler=resolve_refund,
        scope=Scope.OPS,
        summary="End the doubt about a refund in unknown or review, by what was found.",
        tag="Operations",
        body=ResolveBody,
        key_use=KeyUse.REQUIRED,
        refusals=(409,),
        successes={200: Success("The refund, resolved.", RefundResponse)},
    ),
)
