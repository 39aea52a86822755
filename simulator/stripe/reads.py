"""Stripe's reads: single objects, cursor lists newest first, and search by metadata."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeVar

from simulator.faults import FaultKind
from simulator.stripe import failures, render
from simulator.stripe.forms import Form
from simulator.stripe.intents import PAYMENT_ID, StripeContext, found
from simulator.stripe.records import Charge, Intent, Refund
from simulator.stripe.state import IdIndex
from simulator.vendor import Decision

_Listed = TypeVar("_Listed", "Intent", "Refund")

_LIMIT_DEFAULT: Final = 10
_LIMIT_MAX: Final = 100
_PAGING: Final = ("ending_before", "expand", "limit", "starting_after")
_CLAUSE: Final = re.compile(
    r"""\s*(-?)(?:metadata\[["']([^"']+)["']\]|(\w+))\s*([:~<>]=?)\s*"""
    r"""(?:"([^"]*)"|'([^']*)'|(\S+))\s*"""
)


def intent(context: StripeContext, form: Form, intent_id: str) -> Decision:
    """GET /v1/payment_intents/{id}."""
    form.allow(("client_secret", "expand"))
    one = found(context.state, intent_id)
    if _hidden(context, one.created):
        raise failures.no_such("payment_intent", intent_id, "intent")
    body = render.intent_object(one, form.names("expand"), context.state)
    return _read(body, payment_id=one.metadata.get(PAYMENT_ID), reference=one.id)


def intents(context: StripeContext, form: Form) -> Decision:
    """GET /v1/payment_intents."""
    form.allow((*_PAGING, "created", "customer"))
    customer = form.text("customer")
    wanted = _created_filter(form)
    chosen = _page(
        form,
        context.state.intent_ids,
        context.state.intents,
        lambda one: wanted(int(one.created)) and customer in (None, one.extra.get("customer")),
    )
    expand = _in_list(form)
    data = [render.intent_object(one, expand, context.state) for one in chosen[0]]
    return _read(render.page(data, "/v1/payment_intents", has_more=chosen[1]))


def search_intents(context: StripeContext, form: Form) -> Decision:
    """GET /v1/payment_intents/search: clauses on metadata, status, currency and amount."""
    form.allow(("expand", "limit", "page", "query"))
    clauses = _clauses(form.required("query"))
    offset = _offset(form.text("page"))
    limit = _limit(form)
    matching = _matching(context, clauses)
    taken = list(itertools.islice(matching, offset, offset + limit + 1))
    has_more = len(taken) > limit
    expand = _in_list(form)
    data = [render.intent_object(one, expand, context.state) for one in taken[:limit]]
    body = render.page(data, "/v1/payment_intents/search", has_more=has_more)
    body["object"] = "search_result"
    body["next_page"] = f"page_{offset + limit}" if has_more else None
    return _read(body, payment_id=_searched_payment(clauses))


def charge(context: StripeContext, form: Form, charge_id: str) -> Decision:
    """GET /v1/charges/{id}."""
    form.allow(("expand",))
    intent_id = context.state.intent_of_charge.get(charge_id)
    if intent_id is None:
        raise failures.no_such("charge", charge_id, "id")
    owner = context.state.intents[intent_id]
    one = next(charge for charge in owner.charges if charge.id == charge_id)
    body = render.charge_object(owner, one, context.state)
    return _read(body, payment_id=owner.metadata.get(PAYMENT_ID), reference=owner.id)


def charges(context: StripeContext, form: Form) -> Decision:
    """GET /v1/charges, of one intent or of all."""
    form.allow((*_PAGING, "created", "customer", "payment_intent", "transfer_group"))
    state = context.state
    after = form.text("starting_after")
    if (intent_id := form.text("payment_intent")) is not None:
        owners: Iterable[Intent] = (found(state, intent_id, "payment_intent"),)
    else:
        start = state.intent_of_charge.get(after or "")
        older = (state.intents[one] for one in state.intent_ids.newest_first(start))
        owners = itertools.chain((state.intents[start],), older) if start else older
    listed: Iterator[tuple[Intent, Charge]] = (
        (owner, one) for owner in owners for one in reversed(owner.charges)
    )
    if after is not None:
        listed = itertools.islice(
            itertools.dropwhile(lambda pair: pair[1].id != after, listed), 1, None
        )
    limit = _limit(form)
    taken = list(itertools.islice(listed, limit + 1))
    data = [render.charge_object(owner, one, state) for owner, one in taken[:limit]]
    return _read(render.page(data, "/v1/charges", has_more=len(taken) > limit))


def refund(context: StripeContext, form: Form, refund_id: str) -> Decision:
    """GET /v1/refunds/{id}."""
    form.allow(("expand",))
    one = context.state.refunds.get(refund_id)
    if one is None or _hidden(context, one.created):
        raise failures.no_such("refund", refund_id, "refund")
    owner = context.state.intents[one.payment_intent]
    payment_id = owner.metadata.get(PAYMENT_ID)
    return _read(render.refund_object(one), payment_id=payment_id, reference=one.id)


def refunds(context: StripeContext, form: Form) -> Decision:
    """GET /v1/refunds, of one intent or charge or of all."""
    form.allow((*_PAGING, "created", "charge", "payment_intent"))
    intent_id, charge_id = form.text("payment_intent"), form.text("charge")
    wanted = _created_filter(form)
    chosen, has_more = _page(
        form,
        context.state.refund_ids,
        context.state.refunds,
        lambda one: (
            wanted(int(one.created))
            and intent_id in (None, one.payment_intent)
            and charge_id in (None, one.charge)
        ),
    )
    if context.faults.has(FaultKind.NOT_FOUND):
        chosen, has_more = [], False
    data = [render.refund_object(one) for one in chosen]
    payment = context.state.intents.get(intent_id or "")
    return _read(
        render.page(data, "/v1/refunds", has_more=has_more),
        payment_id=payment.metadata.get(PAYMENT_ID) if payment is not None else None,
    )


def balance(context: StripeContext, form: Form) -> Decision:
    """GET /v1/balance: what was captured less what was refunded, per currency."""
    form.allow(("expand",))
    available: Counter[str] = Counter()
    for one in context.state.intents.values():
        for made in one.charges:
            available[one.currency] += made.amount_captured - made.amount_refunded
    amounts = [
        {"amount": amount, "currency": currency, "source_types": {"card": amount}}
        for currency, amount in sorted(available.items())
    ] or [{"amount": 0, "currency": "usd", "source_types": {"card": 0}}]
    return _read({"object": "balance", "available": amounts, "livemode": False, "pending": []})


def event(context: StripeContext, form: Form, event_id: str) -> Decision:
    """GET /v1/events/{id}."""
    form.allow(("expand",))
    for one in reversed(context.state.events):
        if one.id == event_id:
            return _read(render.event_object(one))
    raise failures.no_such("event", event_id, "id")


def events(context: StripeContext, form: Form) -> Decision:
    """GET /v1/events, newest first."""
    form.allow((*_PAGING, "created", "delivery_success", "type", "types"))
    kind, after = form.text("type"), form.text("starting_after")
    listed = reversed(context.state.events)
    if after is not None:
        listed = itertools.islice(itertools.dropwhile(lambda one: one.id != after, listed), 1, None)
    limit = _limit(form)
    matching = (one for one in listed if kind in (None, one.type))
    taken = list(itertools.islice(matching, limit + 1))
    data = [render.event_object(one) for one in taken[:limit]]
    return _read(render.page(data, "/v1/events", has_more=len(taken) > limit))


def _read(
    body: dict[str, object], *, payment_id: str | None = None, reference: str | None = None
) -> Decision:
    return Decision(status=200, outcome="ok", body=body, payment_id=payment_id, reference=reference)


def _hidden(context: StripeContext, created: float) -> bool:
    """Whether a scripted index delay hides an object of this age."""
    spec = context.faults.replacing
    if spec is None or spec.kind is not FaultKind.NOT_FOUND:
        return False
    return spec.milliseconds is None or context.at - created < spec.milliseconds / 1000


def _limit(form: Form) -> int:
    limit = form.integer("limit")
    limit = _LIMIT_DEFAULT if limit is None else limit
    if not 1 <= limit <= _LIMIT_MAX:
        raise failures.invalid(
            f"Invalid limit: must be between 1 and {_LIMIT_MAX}",
            param="limit",
            code="parameter_invalid_integer",
        )
    return limit


def _page(
    form: Form,
    index: IdIndex,
    objects: dict[str, _Listed],
    wanted: Callable[[_Listed], bool],
) -> tuple[list[_Listed], bool]:
    """One page, newest first, and whether there is more in the direction asked for."""
    limit = _limit(form)
    after, before = form.text("starting_after"), form.text("ending_before")
    for name, cursor in (("starting_after", after), ("ending_before", before)):
        if cursor is not None and cursor not in objects:
            raise failures.no_such("object", cursor, name)
    ids = index.newest_first(after) if before is None else index.oldest_first(before)
    matching = (objects[one] for one in ids if wanted(objects[one]))
    taken = list(itertools.islice(matching, limit + 1))
    page = taken[:limit]
    return (page if before is None else page[::-1]), len(taken) > limit


def _created_filter(form: Form) -> Callable[[int], bool]:
    if isinstance(form.params.get("created"), str):
        exact = form.integer("created")
        return lambda created: created == exact
    bounds = form.mapping("created")
    limits = {name: int(value) for name, value in bounds.items() if isinstance(value, str)}
    low = max(limits.get("gte", 0), limits.get("gt", -1) + 1)
    high = min(limits.get("lte", 1 << 62), limits.get("lt", (1 << 62) + 1) - 1)
    return lambda created: low <= created <= high


def _in_list(form: Form) -> tuple[str, ...]:
    """`data.latest_charge` in a list is `latest_charge` in its objects."""
    return tuple(name.removeprefix("data.") for name in form.names("expand"))


def _offset(page: str | None) -> int:
    number = (page or "page_0").removeprefix("page_")
    if not number.isdecimal():
        raise failures.invalid(f"Invalid page token: {page}", param="page")
    return int(number)


_Clause = tuple[bool, str | None, str, str, str]


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
    ids: Iterable[str] = state.intent_ids.newest_first(None)
    if exact:
        ids = reversed(state.intents_with(*exact[0]))
    for one in (state.intents[intent_id] for intent_id in ids):
        if not _hidden(context, one.created) and all(_holds(clause, one) for clause in clauses):
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
