"""Statements name their parameters, and whoever runs them does too."""

from __future__ import annotations

import pytest

from store.queries import bound, queries


def test_arguments_come_in_the_order_the_statement_names_them() -> None:
    text, *arguments = bound("refund_by_id", id="r", tenant_id="t")
    assert text.endswith("WHERE tenant_id = $1 AND id = $2;")
    assert arguments == ["t", "r"]


def test_a_parameter_that_is_named_twice_is_given_once() -> None:
    page = queries()["payments_page"]
    assert len(page.parameters) == len(set(page.parameters))
    assert page.text.count(f"${page.parameters.index('provider') + 1}") == 2


def test_a_cast_is_no_parameter() -> None:
    assert queries()["insert_api_key"].parameters[0] == "id"
    assert "uuid" not in queries()["insert_payments"].parameters


@pytest.mark.parametrize("arguments", [{"id": "r"}, {"id": "r", "tenant_id": "t", "status": "x"}])
def test_other_arguments_than_the_named_are_an_error(arguments: dict[str, object]) -> None:
    with pytest.raises(TypeError, match="refund_by_id takes"):
        bound("refund_by_id", **arguments)
