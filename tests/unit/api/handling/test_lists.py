"""A parameter of a list is a filter of what reads it, under the same name."""

from __future__ import annotations

from dataclasses import fields

import pytest

from api.contract.requests.queries import (
    DeadLettersQuery,
    PageQuery,
    PaymentsQuery,
    ReconciliationBreaksQuery,
)
from payments.dead_letter import DeadLetterState
from store.read.dead_letters import DeadLetterFilters
from store.read.payments import PaymentFilters
from store.read.reconciliation import BreakFilters


@pytest.mark.parametrize(
    ("query", "filters"),
    [
        (PaymentsQuery, PaymentFilters),
        (DeadLettersQuery, DeadLetterFilters),
        (ReconciliationBreaksQuery, BreakFilters),
    ],
)
def test_every_parameter_is_a_filter(query: type[PageQuery], filters: type) -> None:
    """And every filter can be asked for; left out, each filters nothing."""
    parameters = query.model_fields.keys() - PageQuery.model_fields.keys()
    assert parameters == {field.name for field in fields(filters)}
    assert query().filters(filters) == filters()


def test_what_is_asked_for_is_filtered_by() -> None:
    """The page's own parameters are none of the filters."""
    query = DeadLettersQuery(cursor="c", limit="5", state="parked", stage="charge")  # type: ignore[arg-type]  # as a query string has them
    found = query.filters(DeadLetterFilters)
    assert found == DeadLetterFilters(state=DeadLetterState.PARKED, stage="charge")
