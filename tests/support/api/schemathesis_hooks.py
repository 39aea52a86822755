"""What `st run` cannot know from the document: which refusals of a well-formed request are right.

Loaded by the process that test_schemathesis.py starts. Everything that is let pass here is
named, with the reason why a document cannot say it; all else fails the run.
"""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Any, Final

import schemathesis
from schemathesis.generation.meta import TestPhase
from schemathesis.openapi.checks import RejectedPositiveData
from schemathesis.specs.openapi import stateful

if TYPE_CHECKING:
    from schemathesis import Case, HookContext, Response
    from schemathesis.core.failures import Failure
    from schemathesis.schemas import APIOperation

    # Any: which transport and schema a case is of is the tool's own concern.
    AnyOperation = APIOperation[Any, Any, Any, Any]
    AnyCase = Case[AnyOperation]

# The present state says no, which no schema can foresee.
_STATE_SAID_NO: Final = {
    "amount_not_supported": "the amount is drawn, and each provider has its rules of it",
    "capture_exceeds_authorization": "the amount is drawn",
    "currency_not_supported": "the currency is drawn, and each provider has its own",
    "currency_mismatch": "the currency is drawn, and the account has its own",
    "idempotency_key_reused": "keys are drawn from few",
    "insufficient_funds": "the amount is drawn",
    "payment_method_not_found": "the metadata are drawn, and may name a method that nobody has",
    "precondition_failed": "the tag is drawn, and the account has its own",
    "refund_exceeds_payment": "the amount is drawn",
    "same_account": "both ids are drawn from few",
}
# What a schema cannot say of a value.
_INEXPRESSIBLE: Final = {
    "/amount": "decimals and the maximum depend on the currency",
    "/initial_balance": "likewise",
    "/metadata": "8 KiB in all, no number a reader would round, no NUL at any depth",
    "after_position": "only what an answer gave",
    "Last-Event-ID": "only what a stream gave",
    "as_of": "not in the future, nor before the account was opened",
    "cursor": "only what a page of the same list gave",
}
_TAGS: Final = re.compile(r'\*|(W/)?"[!#-~]*"(, ?(W/)?"[!#-~]*")*')
_SHORT_KEY: Final = re.compile("[A-Za-z0-9]{1,3}")
_CURSOR: Final = re.compile("[A-Za-z0-9_-]{30,}")
_AFFORDABLE: Final = {"initial_balance": "1000", "amount": "7"}
_CONDITIONS: Final = ("If-Match", "If-None-Match")


@schemathesis.hook
def before_load_schema(
    context: HookContext,  # noqa: ARG001 - the hook's signature
    raw_schema: dict[str, Any],  # Any: JSON, whose shape is the document's
) -> None:
    """Let links fill the fields of a body that they name; the tool knows them as `requestBody`."""
    for operations in raw_schema["paths"].values():
        for operation in operations.values():
            for answer in operation["responses"].values():
                for link in answer.get("links", {}).values():
                    if "x-request-body" in link:
                        link["requestBody"] = link.pop("x-request-body")


@schemathesis.hook
def filter_failure(
    context: HookContext,  # noqa: ARG001 - the hook's signature
    failure: Failure,
    case: AnyCase,
    response: Response,
) -> bool:
    """Whether a failure counts."""
    if not isinstance(failure, RejectedPositiveData):
        return True
    problem = response.json()
    if problem["code"] == "precondition_invalid":
        # The coverage phase sends optional headers as `0`, whatever their pattern.
        sent = [str(case.headers[name]) for name in _CONDITIONS if name in case.headers]
        return all(map(_TAGS.fullmatch, sent))
    if problem["code"] == "invalid_request":
        return not all(_where(error) in _INEXPRESSIBLE for error in problem["errors"])
    return problem["code"] not in _STATE_SAID_NO


@schemathesis.hook
def before_call(
    context: HookContext,  # noqa: ARG001 - the hook's signature
    case: AnyCase,
    kwargs: dict[str, object],  # noqa: ARG001 - likewise
) -> None:
    """Let more of what is well formed get through: what is refused early shows little.

    Give most requests a key of their own, or one would be refused for another's. Leave out a
    cursor that no page gave. Give the stories of the stateful phase money, or none would get
    as far as a refund: amounts that are drawn are finer than their currency, or more than there
    is. The other phases keep them.
    """
    meta, body = case.meta, case.body
    if meta is None or not meta.generation.mode.is_positive:
        return
    if _SHORT_KEY.fullmatch(str(case.headers.get("Idempotency-Key"))):
        case.headers["Idempotency-Key"] = str(uuid.uuid4())
    if "cursor" in case.query and not _CURSOR.fullmatch(str(case.query["cursor"])):
        del case.query["cursor"]
    if meta.phase.name is TestPhase.STATEFUL and isinstance(body, dict):
        body.update({name: _AFFORDABLE[name] for name in _AFFORDABLE.keys() & body.keys()})


def _begins_a_story(
    operation: AnyOperation,
    node: object,  # noqa: ARG001 - the tool's signature
    produced_anywhere: object,  # noqa: ARG001 - likewise
) -> bool:
    """Every story of the stateful phase begins with an account, and follows links from there.

    By itself the tool would take `user_id` for the id of a resource that nobody creates, and
    begin with lists alone.
    """
    return operation.label == "POST /api/v1/accounts"


stateful.is_likely_root_transition = _begins_a_story


def _where(error: dict[str, str]) -> str:
    return error.get("parameter") or "/" + error["pointer"].split("/")[1]
