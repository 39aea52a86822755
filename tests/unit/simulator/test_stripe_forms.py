"""Stripe's form encoding and parameter checks."""

import pytest

from simulator.stripe.forms import Form, parse
from simulator.stripe.search import _clauses
from simulator.vendor import Refused


@pytest.mark.parametrize(
    ("encoded", "params"),
    [
        ("", {}),
        ("a=1&b=", {"a": "1", "b": ""}),
        ("m[k]=v&m[l]=w", {"m": {"k": "v", "l": "w"}}),
        ("a[b][c]=1", {"a": {"b": {"c": "1"}}}),
        ("expand[]=x&expand[]=y", {"expand": {"0": "x", "1": "y"}}),
        ("expand[0]=x&expand[1]=y", {"expand": {"0": "x", "1": "y"}}),
        ("m%5Bk%5D=a%26b%3D%C3%BC", {"m": {"k": "a&b=ü"}}),
        ("a=1&a[b]=2", {"a": {"b": "2"}}),
    ],
)
def test_forms_nest(encoded: str, params: dict[str, object]) -> None:
    """Brackets nest; lists, indexed or not, are objects by position."""
    assert parse(encoded) == params


@pytest.mark.parametrize(
    ("metadata", "param"),
    [
        ({"k" * 41: "v"}, f"metadata[{'k' * 41}]"),
        ({"k": "v" * 501}, "metadata[k]"),
        ({str(n): "v" for n in range(51)}, "metadata"),
    ],
)
def test_metadata_has_stripe_s_limits(metadata: dict[str, str], param: str) -> None:
    """Fifty keys of forty characters, values of five hundred."""
    with pytest.raises(Refused) as refused:
        Form({"metadata": dict(metadata)}).metadata()
    assert getattr(refused.value.error, "param", None) == param


@pytest.mark.parametrize(
    ("query", "clauses"),
    [
        ("metadata['k']:'v'", [(False, "k", "", ":", "v")]),
        ('-metadata["k"]:"v w"', [(True, "k", "", ":", "v w")]),
        (
            "status:'succeeded' AND amount>=100",
            [(False, None, "status", ":", "succeeded"), (False, None, "amount", ">=", "100")],
        ),
    ],
)
def test_search_queries_are_read(query: str, clauses: list[object]) -> None:
    """Fields, metadata, negation, comparison, joined by AND."""
    assert _clauses(query) == clauses


@pytest.mark.parametrize("query", ["", "nonsense", "metadata['k']", "colour:'red'"])
def test_a_bad_query_is_refused(query: str) -> None:
    """An unreadable query or an unknown field finds nothing silently: it is an error."""
    with pytest.raises(Refused):
        _clauses(query)
