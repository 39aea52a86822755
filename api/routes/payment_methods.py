"""An account's payment methods: attach one, read and list them, detach one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from api.access.scopes import Scope
from api.contract.requests.bodies import AttachPaymentMethodBody
from api.contract.requests.queries import PaymentMethodsQuery
from api.contract.responses.answers import Page, json_answer
from api.contract.responses.payment_methods import PaymentMethodResponse
from api.contract.route import Route, Success
from api.handling.cursors import BY_ID
from api.handling.lists import Listing
from api.handling.submission import commit
from api.http.problems import ACCOUNT_NOT_FOUND, NOT_FOUND, Problem
from api.idempotency.key import KeyUse
from payments.commands import DetachPaymentMethod
from payments.payment_method import PaymentMethod
from store.read.accounts import account_by_id
from store.read.payment_methods import (
    PaymentMethodFilters,
    payment_method_by_id,
    payment_methods_page,
)

if TYPE_CHECKING:
    from uuid import UUID

    from asyncpg.pool import PoolConnectionProxy

    from api.handling.call import Call
    from payments.decision import Result
    from store.read.found import Found
    from store.write.group_commit import Answer


async def attach_payment_method(call: Call) -> Answer:
    account_id = call.path_id(ACCOUNT_NOT_FOUND)
    body = await call.body(AttachPaymentMethodBody)
    return (await commit(call, body.command(call.tenant_id, account_id), _attached)).answer


async def list_payment_methods(call: Call) -> Answer:
    account_id, query = call.path_id(ACCOUNT_NOT_FOUND), call.query(PaymentMethodsQuery)
    filters = PaymentMethodFilters(account_id=account_id, state=query.state)
    return await _METHODS.answer(call, query, filters)


async def get_payment_method(call: Call) -> Answer:
    account_id, method_id = _ids(call)
    async with call.database() as connection:
        method = await payment_method_by_id(connection, call.tenant_id, account_id, method_id)
    if method is None:
        raise Problem(NOT_FOUND, f"account {account_id} has no payment method {method_id}")
    return _shown(method)


async def detach_payment_method(call: Call) -> Answer:
    account_id, method_id = _ids(call)
    command = DetachPaymentMethod(call.tenant_id, account_id, method_id)
    return (await commit(call, command, _shown)).answer


def _ids(call: Call) -> tuple[UUID, UUID]:
    return call.path_id(NOT_FOUND), call.path_id(NOT_FOUND, "method_id")


def _attached(result: Result) -> Answer:
    assert isinstance(result, PaymentMethod), "attaching gives a payment method"
    address = f"/api/v1/accounts/{result.account_id}/payment-methods/{result.id}"
    return json_answer(201, PaymentMethodResponse.of(result), {"Location": address})


def _shown(result: Result) -> Answer:
    assert isinstance(result, PaymentMethod), "a payment method is shown"
    return json_answer(200, PaymentMethodResponse.of(result))


async def _page_of_an_account(
    connection: PoolConnectionProxy,
    tenant_id: str,
    filters: PaymentMethodFilters,
    *,
    before: UUID | None,
    limit: int,
) -> Found[PaymentMethod, UUID]:
    if await account_by_id(connection, tenant_id, filters.account_id) is None:
        raise Problem(ACCOUNT_NOT_FOUND, f"there is no account {filters.account_id}")
    return await payment_methods_page(connection, tenant_id, filters, before=before, limit=limit)


_METHODS: Final = Listing(
    read=_page_of_an_account,
    order=BY_ID,
    position=lambda method: method.id,
    page=Page[PaymentMethodResponse],
    row=PaymentMethodResponse.of,
)
_COLLECTION: Final = "/api/v1/accounts/{id}/payment-methods"

ROUTES: Final = (
    Route(
        method="POST",
        path=_COLLECTION,
        handler=attach_payment_method,
        scope=Scope.ACCOUNTS_WRITE,
        summary="Let the account be charged by a payment method, and nobody else.",
        tag="Payment methods",
        body=AttachPaymentMethodBody,
        key_use=KeyUse.ACCEPTED,
        refusals=(409,),
        successes={
            201: Success(
                "The payment method.", PaymentMethodResponse, headers={"Location": "Its address."}
            )
        },
    ),
    Route(
        method="GET",
        path=_COLLECTION,
        handler=list_payment_methods,
        scope=Scope.PAYMENTS_READ,
        summary="An account's payment methods, newest first.",
        tag="Payment methods",
        query=PaymentMethodsQuery,
        successes={200: Success("A page of payment methods.", Page[PaymentMethodResponse])},
    ),
    Route(
        method="GET",
        path=_COLLECTION + "/{method_id}",
        handler=get_payment_method,
        scope=Scope.PAYMENTS_READ,
        summary="A payment method.",
        tag="Payment methods",
        successes={200: Success("The payment method.", PaymentMethodResponse)},
    ),
    Route(
        method="POST",
        path=_COLLECTION + "/{method_id}/detach",
        handler=detach_payment_method,
        scope=Scope.ACCOUNTS_WRITE,
        summary="Detach a payment method: no payment is accepted with it from now on.",
        tag="Payment methods",
        key_use=KeyUse.ACCEPTED,
        successes={200: Success("The detached payment method.", PaymentMethodResponse)},
    ),
)
