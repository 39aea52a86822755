"""Accounts: open one, read it, its balance now or then, its statement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from api.access.scopes import Scope
from api.contract.requests.bodies import CreateAccountBody
from api.contract.requests.queries import BalanceQuery, PageQuery
from api.contract.responses.accounts import AccountResponse, BalanceResponse, TransactionResponse
from api.contract.responses.answers import Page, json_answer
from api.contract.route import Route, Success
from api.handling.cursors import BY_ID
from api.handling.lists import Listing
from api.handling.submission import commit
from api.http.preconditions import entity_tag
from api.http.problems import ACCOUNT_NOT_FOUND, FieldError, Problem, invalid
from api.idempotency.key import KeyUse
from payments.account import Account
from store.read.accounts import account_by_id
from store.read.ledger import StatementLine, balance_at, statement

if TYPE_CHECKING:
    from uuid import UUID

    from asyncpg.pool import PoolConnectionProxy

    from api.handling.call import Call
    from payments.decision import Result
    from store.read.found import Found
    from store.write.group_commit import Answer


async def create_account(call: Call) -> Answer:
    body = await call.body(CreateAccountBody)
    return (await commit(call, body.command(call.tenant_id), _opened)).answer


async def get_account(call: Call) -> Answer:
    account_id = call.path_id(ACCOUNT_NOT_FOUND)
    async with call.database() as connection:
        account = await _account(connection, call.tenant_id, account_id)
    return json_answer(200, AccountResponse.of(account), {"ETag": entity_tag(account)})


async def get_balance(call: Call) -> Answer:
    account_id, query = call.path_id(ACCOUNT_NOT_FOUND), call.query(BalanceQuery)
    instant = query.as_of
    if instant is not None and instant > call.deps.now():
        raise invalid(FieldError("must not lie in the future", parameter="as_of"))
    async with call.database() as connection:
        if instant is None:
            account = await _account(connection, call.tenant_id, account_id)
            tag = {"ETag": entity_tag(account)}
            return json_answer(200, BalanceResponse.now(account), tag)
        then = await balance_at(connection, call.tenant_id, account_id, instant)
    if then is None:
        raise _not_found(account_id)
    if instant < then.opened_at:
        reason = f"lies before the account was opened, at {then.opened_at.isoformat()}"
        raise invalid(FieldError(reason, parameter="as_of"))
    return json_answer(200, BalanceResponse.then(account_id, then, instant))


async def list_transactions(call: Call) -> Answer:
    account_id, query = call.path_id(ACCOUNT_NOT_FOUND), call.query(PageQuery)
    return await _TRANSACTIONS.answer(call, query, account_id)


async def _transactions_page(
    connection: PoolConnectionProxy,
    tenant_id: str,
    account_id: UUID,
    *,
    before: UUID | None,
    limit: int,
) -> Found[StatementLine, UUID]:
    await _account(connection, tenant_id, account_id)
    return await statement(connection, tenant_id, account_id, before=before, limit=limit)


async def _account(connection: PoolConnectionProxy, tenant_id: str, account_id: UUID) -> Account:
    account = await account_by_id(connection, tenant_id, account_id)
    if account is None:
        raise _not_found(account_id)
    return account


def _not_found(account_id: UUID) -> Problem:
    return Problem(ACCOUNT_NOT_FOUND, f"there is no account {account_id}")


def _opened(result: Result) -> Answer:
    assert isinstance(result, Account), "opening an account gives an account"
    headers = {"Location": f"/api/v1/accounts/{result.id}", "ETag": entity_tag(result)}
    return json_answer(201, AccountResponse.of(result), headers)


_TRANSACTIONS: Final = Listing(
    read=_transactions_page,
    order=BY_ID,
    position=lambda line: line.id,
    page=Page[TransactionResponse],
    row=TransactionResponse.of,
)
_ETAG: Final = {"ETag": "The account's version in quotes: a strong entity tag."}
# Of the past there is no version.
_ETAG_NOW: Final = {"ETag": "The account's version in quotes, unless `as_of` is asked for."}


ROUTES: Final = (
    Route(
        method="POST",
        path="/api/v1/accounts",
        handler=create_account,
        scope=Scope.ACCOUNTS_WRITE,
        summary="Open an account with an opening balance.",
        tag="Accounts",
        body=CreateAccountBody,
        key_use=KeyUse.ACCEPTED,
        successes={
            201: Success(
                "The account.", AccountResponse, headers={"Location": "Its address.", **_ETAG}
            )
        },
    ),
    Route(
        method="GET",
        path="/api/v1/accounts/{id}",
        handler=get_account,
        scope=Scope.PAYMENTS_READ,
        summary="An account with its balances.",
        tag="Accounts",
        versioned=True,
        successes={200: Success("The account.", AccountResponse, headers=_ETAG)},
    ),
    Route(
        method="GET",
        path="/api/v1/accounts/{id}/balance",
        handler=get_balance,
        scope=Scope.PAYMENTS_READ,
        summary="What an account has, may spend and holds, now or at a past instant.",
        tag="Accounts",
        query=BalanceQuery,
        versioned=True,
        successes={200: Success("The balance.", BalanceResponse, headers=_ETAG_NOW)},
    ),
    Route(
        method="GET",
        path="/api/v1/accounts/{id}/transactions",
        handler=list_transactions,
        scope=Scope.PAYMENTS_READ,
        summary="What moved in an account, newest first.",
        tag="Accounts",
        query=PageQuery,
        successes={200: Success("A page of the statement.", Page[TransactionResponse])},
    ),
)
