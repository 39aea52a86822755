"""The OpenAPI document: whole, valid, and made of the routes."""

import re
from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # it ships no types
from openapi_spec_validator import OpenAPIV31SpecValidator

from api.access.scopes import Everyone
from api.contract.openapi import document
from api.contract.requests.bodies import CreatePaymentBody, ResolveBody
from api.contract.requests.queries import PageQuery
from api.contract.requests.reading import parse_body, read_body
from api.contract.route import AnyRoute, Route
from api.http.problems import Problem
from api.idempotency.key import KeyUse
from api.routes import ROUTES
from providers.registry import NAMES

# As a client reads it.
DOCUMENT = orjson.loads(orjson.dumps(document(ROUTES, NAMES)))
DOCUMENTED = [route for route in ROUTES if route.documented]


def _operation(route: AnyRoute) -> dict[str, Any]:  # Any: JSON, whose shape is what is tested
    operation: dict[str, Any] = DOCUMENT["paths"][route.path][route.method.lower()]
    return operation


def _schema(name: str) -> dict[str, Any]:  # Any: likewise
    schema: dict[str, Any] = DOCUMENT["components"]["schemas"][name]
    return schema


def _validator(schema: dict[str, Any]) -> Draft202012Validator:  # Any: likewise
    return Draft202012Validator({**schema, "components": DOCUMENT["components"]})


def test_it_is_openapi_3_1_and_every_reference_leads_somewhere() -> None:
    """No dangling reference, and every operation has a name of its own."""
    assert DOCUMENT["openapi"].startswith("3.1")
    for reference in re.findall(r'"\$ref":"#/([^"]+)"', orjson.dumps(DOCUMENT).decode()):
        found = DOCUMENT
        for step in reference.split("/"):
            found = found[step]
    names = [_operation(route)["operationId"] for route in DOCUMENTED]
    assert len(set(map(str, names))) == len(names)


@pytest.mark.parametrize("name", DOCUMENT["components"]["schemas"])
def test_every_schema_is_a_json_schema(name: str) -> None:
    """Draft 2020-12, which OpenAPI 3.1 is built on."""
    Draft202012Validator.check_schema(DOCUMENT["components"]["schemas"][name])


@pytest.mark.parametrize("route", DOCUMENTED, ids=lambda route: f"{route.method} {route.path}")
def test_an_operation_says_what_its_route_does(route: AnyRoute) -> None:
    """Security, key, body, successes and refusals are the route's."""
    operation = _operation(route)
    assert bool(operation["security"]) is not isinstance(route.scope, Everyone)
    parameters = {each["name"]: each for each in operation["parameters"]}
    key = parameters.get("Idempotency-Key")
    assert (key is not None) is (route.key_use is not KeyUse.IGNORED)
    assert (key is not None and key["required"]) is (route.key_use is KeyUse.REQUIRED)
    assert ("requestBody" in operation) is (route.body is not None)
    assert {str(status) for status in route.successes} <= set(operation["responses"])
    if not isinstance(route.scope, Everyone):
        assert {"401", "403", "429", "503"} <= set(operation["responses"])


def test_what_takes_a_condition_says_so() -> None:
    """Tags on what has a version, 304 and 412 among the answers; nowhere else."""
    for route in DOCUMENTED:
        operation = _operation(route)
        named = {each["name"] for each in operation["parameters"]}
        assert ("If-None-Match" in named) is ("304" in operation["responses"]) is route.versioned
        conditional = route.versioned or route.takes_if_match
        assert ("If-Match" in named) is ("412" in operation["responses"]) is conditional


def test_every_link_leads_to_an_operation_by_parameters_it_has() -> None:
    """And every operation that takes an id can be reached from an answer that has one."""
    operations = {_operation(route)["operationId"]: _operation(route) for route in DOCUMENTED}
    reached = set()
    for operation in operations.values():
        for answer in operation["responses"].values():
            for name, link in answer.get("links", {}).items():
                assert re.fullmatch(r"[A-Za-z0-9._-]+", name)
                target = operations[link["operationId"]]
                assert set(link["parameters"]) <= {each["name"] for each in target["parameters"]}
                reached.add(link["operationId"])
    with_id = {_operation(route)["operationId"] for route in DOCUMENTED if "{id}" in route.path}
    assert with_id <= reached
    assert {"create_payment", "create_transfer", "list_payments"} <= reached


def test_every_list_says_that_a_page_may_be_short() -> None:
    """Whoever takes an empty page for the end of a list misses what comes behind it."""
    lists = [
        route
        for route in DOCUMENTED
        if route.query is not None and issubclass(route.query, PageQuery)
    ]
    assert len(lists) > 10
    for route in lists:
        answer = _operation(route)["responses"]["200"]["content"]["application/json"]["schema"]
        page = _schema(answer["$ref"].rpartition("/")[2])
        assert "even none" in page["properties"]["next_cursor"]["description"], route.path


def test_amounts_are_documented_as_they_are_taken() -> None:
    """A number or a decimal string of more than nothing; an account may open with nothing."""
    balance = _schema("CreateAccountBody")["properties"]["initial_balance"]
    assert all(_validator(balance).is_valid(value) for value in (0, "0", "0.00"))
    taken = _validator(_schema("CreatePaymentBody")["properties"]["amount"])
    assert all(taken.is_valid(value) for value in (50, 50.0, "50.00", "1e2", "0.5"))
    refused: tuple[object, ...] = (-1, "-1", 0, "0", "0.0", "0e5", "", "x", "1,0", None, True, [])
    assert not any(taken.is_valid(value) for value in refused)


KINDS = ("external_payment", "internal_transfer")
ACCOUNT = "0190a5e4-7b1c-7c3e-9d3f-0a7c1be25d10"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("provider", [None, "stripe"])
@pytest.mark.parametrize("destination", [None, ACCOUNT])
@pytest.mark.parametrize("capture", ["automatic", "manual"])
def test_what_goes_together_is_documented_as_it_is_taken(
    kind: str, provider: str | None, destination: str | None, capture: str
) -> None:
    """The document takes the same combinations of a payment's fields as the model does."""
    body = {
        "payment_type": kind,
        "source_account_id": ACCOUNT,
        "amount": "1.00",
        "currency": "USD",
        "capture_method": capture,
        "provider": provider,
        "destination_account_id": destination,
    }
    documented = _validator(_schema("CreatePaymentBody"))
    try:
        read_body(CreatePaymentBody, parse_body(orjson.dumps(body)), NAMES).command("tenant", "key")
    except Problem:
        taken = False
    else:
        taken = True
    assert documented.is_valid(body) is taken


@pytest.mark.parametrize("outcome", ["succeeded", "captured", "failed"])
@pytest.mark.parametrize("amount", [None, 1, "1.00"])
@pytest.mark.parametrize("reference", [None, "pi_1"])
def test_what_an_operator_finds_is_documented_as_it_is_taken(
    outcome: str, amount: object, reference: str | None
) -> None:
    """What succeeded has an amount and a reference, what failed has neither."""
    body = {"outcome": outcome, "amount": amount, "provider_reference": reference, "reason": "seen"}
    try:
        read_body(ResolveBody, parse_body(orjson.dumps(body)), NAMES).verdict("USD")
    except Problem:
        taken = False
    else:
        taken = True
    assert _validator(_schema("ResolveBody")).is_valid(body) is taken


def test_generators_of_clients_find_what_they_can_make_types_of() -> None:
    """No body of alternatives, no schema that only names another, or stands unused; no null alone.

    A link's `requestBody` is a text to them, and a default of one of two types does not compile.
    """
    schemas = DOCUMENT["components"]["schemas"]
    for name, schema in schemas.items():
        assert "$ref" not in schema, name
        assert "properties" not in schema or not {"oneOf", "anyOf"} & schema.keys(), name
        for field in schema.get("properties", {}).values():
            assert field.get("type") != "null"
            assert not ("default" in field and "$ref" in field and field["default"] == "0")
        assert f'"#/components/schemas/{name}"' in orjson.dumps(DOCUMENT).decode(), name
    for route in DOCUMENTED:
        for answer in _operation(route)["responses"].values():
            assert not any("requestBody" in link for link in answer.get("links", {}).values())


def test_openapis_own_validator_takes_it() -> None:
    """The specification's JSON Schema, and what it says in words of operations and parameters."""
    OpenAPIV31SpecValidator(DOCUMENT).validate()


def test_unknown_fields_are_documented_as_refused() -> None:
    """A body is closed."""
    for route in DOCUMENTED:
        if route.body:
            schema = DOCUMENT["components"]["schemas"][route.body.__name__]
            assert schema["additionalProperties"] is False


def test_a_route_cannot_be_declared_without_saying_who_may_use_it() -> None:
    """The declaration fails, and with it the start of the process."""
    with pytest.raises(TypeError, match="scope"):
        Route(  # type: ignore[call-arg]  # that is the point
            method="GET",
            path="/api/v1/secrets",
            handler=ROUTES[0].handler,
            summary="",
            tag="",
            successes={},
        )
