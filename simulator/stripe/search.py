"""Stripe's search of PaymentIntents: clauses on metadata, status, currency, amount and time."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Final

from simulator.stripe import failures, paging, render
from simulator.stripe.context import PAYMENT_ID, StripeContext
from simulator.stripe.forms import Form
from simulator.stripe.records import Intent
from simulator.vendor import Decision

_CLAUSE: Final = re.compile(
    r"""\s*(-?)(?:metadata\[["']([^"']+)["']\]|(\w+))\s*([:~<>]=?)\s*"""
    r"""(?:"([^"]*)"|'([^']*)'|(\S+))\s*"""
)

_Clause = tuple[bool, str | None, str, str, str]


def intents(context: StripeContext, form: Form) -> Decision:
    """GET /v1/payment_intents/search: clauses on metadata, status, currency and amount."""
    if not context.state.searches.admits(context.at):
        raise failures.too_often()
    form.allow(("expand", "limit", "page", "query"))
    clauses = _clauses(form.required("query"))
    offset = _offset(form.text("page"))
    limit = paging.limit_of(form)
    matching = _matching(context, clauses)
    taken = list(itertools.islice(matching, offset, offset + limit + 1))
    has_more = len(taken) > limit
    expand = paging.in_list(form)
    data = [render.intent_object(one, expand, context.state) for one in taken[:limit]]
    body = render.page(data, "/v1/payment_intents/search", has_more=has_more)
    body["object"] = "search_result"
    body["next_page"] = f"page_{offset + limit}" if has_more else None
    return paging.read(body, payment_id=_searched_payment(clauses))


def _offset(page: str | None) -> int:
    number = (page or "page_0").removeprefix("page_")
    if not number.isdecimal():
        raise failures.invalid(f"Invalid page token: {page}", param="page")
    return int(number)


def _clauses(query: str) -> list[_Clause]:
    """(negated, metadata key or None, field, operator, value) for each clause, joined by AND."""
    clauses: list[_Clause] = []
    for part in re.split(r"\s+AND\s+", query, flags=re.IGNORECASE):
        match = _CLAUSE.fullmatch(part)
        if match is None:
            raise failures.invalid(
                "We were unable to parse your search query. Try using the format "
                f'`metadata["key"]:"value"`, got: {part}',
                param="query",
            )
        negated, key, field, operator, double, single, bare = match.groups()
        value = next(one for one in (double, single, bare) if one is not None)
        if key is None and field not in ("status", "currency", "amount", "created"):
            raise failures.invalid(
                f"Field `{field}` is an unsupported search field for resource `payment_intents`.",
                param="query",
            )
        clauses.append((negated == "-", key, field or "", operator, value))
    return clauses


def _matching(context: StripeContext, clauses: list[_Clause]) -> Iterator[Intent]:
    """Matching intents, newest first, by the metadata index where a clause allows it."""
    state = context.state
    exact = [
        (key, value) for negated, key, _, op, value in clauses if key and op == ":" and not negated
    ]
    newest = state.intents_with(*exact[0]) if exact else state.intents.newest_first()
    for one in newest:
        if not paging.hidden(context, one.created) and all(
            _holds(clause, one) for clause in clauses
        ):
            yield one


def _holds(clause: _Clause, one: Intent) -> bool:
    negated, key, field, operator, value = clause
    if key is not None:
        actual: str | int | None = one.metadata.get(key)
    else:
        fields: dict[str, str | int] = {
            "status": one.status,
            "currency": one.currency,
            "amount": one.amount,
            "created": int(one.created),
        }
        actual = fields[field]
    return negated != _compares(actual, operator, value)


def _compares(actual: str | int | None, operator: str, value: str) -> bool:
    if actual is None:
        return False
    if isinstance(actual, int):
        number = int(value) if value.isdecimal() else -1
        match operator:
            case ":":
                return actual == number
            case ">":
                return actual > number
            case ">=":
                return actual >= number
            case "<":
                return actual < number
            case _:
                return actual <= number
    if operator == "~":
        return value.lower() in actual.lower()
    return actual.lower() == value.lower()


def _searched_payment(clauses: list[_Clause]) -> str | None:
    for _, key, _, _, value in clauses:
        if key == PAYMENT_ID:
            return value
    return None
