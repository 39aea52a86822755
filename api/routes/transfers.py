"""Transfers between two of the tenant's accounts: done when they are answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from api.access.scopes import Scope
from api.contract.requests.bodies import CreateTransferBody
from api.contract.responses.payments import PaymentResponse
from api.contract.route import Route, Success
from api.idempotency.key import KeyUse
from api.routes.payments import accepted, payment_answer

if TYPE_CHECKING:
    from api.handling.call import Call
    from payments.decision import Result
    from store.write.group_commit import Answer


async def create_transfer(call: Call) -> Answer:
    body = await call.body(CreateTransferBody)
    command = body.command(call.tenant_id, call.idempotency_key)
    return (await accepted(call, command, _done)).answer


def _done(result: Result) -> Answer:
    return payment_answer(201, result)


ROUTES: Final = (
    Route(
        method="POST",
        path="/api/v1/transfers",
        handler=create_transfer,
        scope=Scope.PAYMENTS_WRITE,
        summary="Move money at once between two accounts in one currency.",
        tag="Transfers",
        body=CreateTransferBody,
        key_use=KeyUse.REQUIRED,
        takes_if_match=True,
        successes={
            201: Success(
                "The completed payment.", PaymentResponse, headers={"Location": "Its address."}
            )
        },
    ),
)
