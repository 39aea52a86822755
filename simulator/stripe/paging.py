"""Stripe's lists: cursors, newest first, filters on when an object was made."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, TypeVar

from simulator.faults import FaultKind
from simulator.spill import Spilled
from simulator.stripe import failures
from simulator.stripe.context import StripeContext
from simulator.stripe.forms import Form
from simulator.stripe.records import Dispute, Intent, PaymentMethod, Refund
from simulator.vendor import Decision

_Listed = TypeVar("_Listed", Intent, Refund, Dispute, PaymentMethod)

_LIMIT_DEFAULT: Final = 10
_LIMIT_MAX: Final = 100
# An object that was made later may have the earlier time, where a clock was set back.
_CLOCK_SET_S: Final = 60
PARAMETERS: Final = ("ending_before", "expand", "limit", "starting_after")


def read(
    body: dict[str, object], *, payment_id: str | None = None, reference: str | None = None
) -> Decision:
    """An answer that changes nothing."""
    return Decision(status=200, outcome="ok", body=body, payment_id=payment_id, reference=reference)


def hidden(context: StripeContext, created: float) -> bool:
    """Whether a scripted index delay hides an object of this age."""
    spec = context.faults.replacing
    if spec is None or spec.kind is not FaultKind.NOT_FOUND:
        return False
    return spec.milliseconds is None or context.at - created < spec.milliseconds / 1000


def limit_of(form: Form) -> int:
    """How many are asked for."""
    limit = form.integer("limit")
    limit = _LIMIT_DEFAULT if limit is None else limit
    if not 1 <= limit <= _LIMIT_MAX:
        raise failures.invalid(
            f"Invalid limit: must be between 1 and {_LIMIT_MAX}",
            param="limit",
            code="parameter_invalid_integer",
        )
    return limit


@dataclass(frozen=True, slots=True)
class Made:
    """When an object was made, first and last, in Unix seconds."""

    first: int
    last: int

    def holds(self, created: float) -> bool:
        """Whether that is among them."""
        return self.first <= int(created) <= self.last


ALL: Final = Made(0, 1 << 62)


def page_of(
    form: Form,
    objects: Spilled[_Listed],
    made: Made,
    wanted: Callable[[_Listed], bool],
    among: Iterable[_Listed] | None = None,
) -> tuple[list[_Listed], bool]:
    """One page, newest first, and whether there is more in the direction asked for.

    `among` has all that can be wanted, newest first, where they need not be looked for.
    """
    limit = limit_of(form)
    after, before = form.text("starting_after"), form.text("ending_before")
    for name, cursor in (("starting_after", after), ("ending_before", before)):
        if cursor is not None and cursor not in objects:
            raise failures.no_such("object", cursor, name)
    if among is not None:
        listed = _beside(among, after, before)
    elif before is not None:
        listed = objects.oldest_first(objects.place(before) + 1)
    else:
        newest = objects.newest_first(None if after is None else objects.place(after))
        listed = itertools.takewhile(lambda one: one.created > made.first - _CLOCK_SET_S, newest)
    matching = (one for one in listed if made.holds(one.created) and wanted(one))
    taken = list(itertools.islice(matching, limit + 1))
    page = taken[:limit]
    return (page if before is None else page[::-1]), len(taken) > limit


def created_filter(form: Form) -> Made:
    """The times of the objects that are asked for."""
    if isinstance(form.params.get("created"), str):
        exact = form.integer("created") or 0
        return Made(exact, exact)
    bounds = form.mapping("created")
    limits = {name: int(value) for name, value in bounds.items() if isinstance(value, str)}
    low = max(limits.get("gte", 0), limits.get("gt", -1) + 1)
    high = min(limits.get("lte", 1 << 62), limits.get("lt", (1 << 62) + 1) - 1)
    return Made(low, high)


def _beside(among: Iterable[_Listed], after: str | None, before: str | None) -> Iterable[_Listed]:
    """Those beyond a cursor, the nearest first; ids are in the order of creation."""
    if before is not None:
        return reversed([one for one in among if one.id > before])
    return (one for one in among if after is None or one.id < after)


def in_list(form: Form) -> tuple[str, ...]:
    """`data.latest_charge` in a list is `latest_charge` in its objects."""
    return tuple(name.removeprefix("data.") for name in form.names("expand"))
