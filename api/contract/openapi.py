"""The OpenAPI 3.1 document, made from the routes and the models their handlers use.

Nothing in it is written twice: addresses, scopes, parameters, bodies and answers are those
of the routes, so it says what the router does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from pydantic.json_schema import models_json_schema

from api.access.scopes import Everyone
from api.contract.links import Json, links_of
from api.contract.responses.problems import ProblemResponse
from api.contract.route import AnyRoute, Success
from api.http.preconditions import IF_MATCH, IF_NONE_MATCH
from api.http.problems import CONTENT_TYPE
from api.idempotency.key import PATTERN, KeyUse
from topics.contracts.provider_names import with_providers

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.json_schema import JsonSchemaMode

VERSION: Final = "1.0.0"
_REFERENCE: Final = "#/components/schemas/{model}"
_NAMES: Final = re.compile('"#/components/schemas/([^"]+)"')
_DESCRIPTION: Final = """\
Payments that are durable when they are answered, and charged at most once.

Amounts go out as decimal strings with the currency's digits, beside whole minor units. They
come in as JSON numbers or decimal strings, and are read exactly from their text.

Send an `Idempotency-Key` with whatever changes something: the same key with the same request
gets the first answer again, byte for byte, for 30 days. What is refused is answered as
`application/problem+json`; `code` is stable, and `/docs/problems` explains each.

An account's `ETag` is its version. A payment or transfer with `If-Match` is performed only if its
source account is at a version named there, and refused with 412 otherwise; nothing is stored
under its key then. Where no `If-Match` is listed, nothing has a version, and a tag matches nothing.
"""
_PATH_IDS: Final = re.compile(r"\{(\w+)\}")
# What an answer of each kind says beside its body.
_HEADERS: Final = {
    "RequestId": ("X-Request-ID", "The request's id: the one sent, or a new one."),
    "TraceParent": ("traceparent", "The trace the request belongs to (W3C Trace Context)."),
    "RateLimit": ("RateLimit", "What is left of each limit, where there is one."),
    "RateLimitPolicy": ("RateLimit-Policy", "The limits that count this request."),
    "StreamPosition": (
        "Stream-Position",
        "Up to where the feed of events tells of what was done; for `after_position`.",
    ),
    "Replayed": ("Idempotent-Replayed", "`true`: the first answer, given again."),
    "RetryAfter": ("Retry-After", "Seconds after which to try again, where that helps."),
    "Challenge": ("WWW-Authenticate", "What an API key must be good for (RFC 6750)."),
}
_EVERY_ANSWER: Final = ("RequestId", "TraceParent")
_OF_PROBLEM: Final = {
    401: ("Challenge",),
    403: ("Challenge",),
    409: ("RetryAfter",),
    429: ("RetryAfter", "RateLimit", "RateLimitPolicy"),
    503: ("RetryAfter",),
}
_PROBLEMS: Final = {
    400: "The request is malformed.",
    401: "No API key, or not a valid one.",
    403: "The key lacks the scope.",
    404: "There is no such thing, or it is another tenant's.",
    408: "The body did not arrive in time.",
    409: "The present state, or a request still at work, forbids it.",
    410: "What comes after the cursor is not to be had any more.",
    412: "It is not at a version that If-Match names.",
    413: "The body is longer than 64 KiB.",
    415: "The body is not application/json.",
    422: "A part of the request is not acceptable, or money or state say no.",
    429: "Too many requests; Retry-After says when to try again.",
    500: "Something failed on our side.",
    503: "Overloaded, or a database is away; Retry-After says when to try again.",
}


def document(routes: Iterable[AnyRoute], providers: Sequence[str]) -> dict[str, Json]:
    """The document of the routes that are part of the API, where there are these providers."""
    shown = [route for route in routes if route.documented]
    schemas = _Schemas(shown, providers)
    paths: dict[str, dict[str, Json]] = {}
    for route in shown:
        operation = _operation(route, schemas) | {"responses": _responses(route, shown, schemas)}
        paths.setdefault(route.path, {})[route.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "Payments", "version": VERSION, "description": _DESCRIPTION},
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in dict.fromkeys(route.tag for route in shown)],
        "paths": paths,
        "components": {
            "schemas": schemas.definitions,
            "responses": {str(status): _problem(status) for status in _PROBLEMS},
            "headers": {name: _header(text) for name, (_, text) in _HEADERS.items()},
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key `pk_<id>_<secret>` (`payments keys create`).",
                }
            },
        },
    }


class _Schemas:
    """The models' JSON Schemas, and references to them."""

    def __init__(self, routes: Sequence[AnyRoute], providers: Sequence[str]) -> None:
        wanted: dict[tuple[type[BaseModel], JsonSchemaMode], None] = {
            (ProblemResponse, "serialization"): None
        }
        for route in routes:
            for model in filter(None, (route.body, route.query)):
                wanted[model, "validation"] = None
            for success in route.successes.values():
                if success.model:
                    wanted[success.model, "serialization"] = None
        self._references, whole = models_json_schema(list(wanted), ref_template=_REFERENCE)
        queries = {route.query for route in routes if route.query}
        definitions: dict[str, Json] = with_providers(whole.get("$defs", {}), providers)
        self._all = definitions
        shown = [self._references[each] for each in wanted if each[0] not in queries]
        referred = set(_NAMES.findall(json.dumps([shown, definitions])))
        # Nobody refers to a query's model: it is spread over parameters.
        self.definitions = {
            name: schema for name, schema in definitions.items() if name in referred
        }

    def reference(self, model: type[BaseModel], mode: JsonSchemaMode) -> Json:
        return self._references[model, mode]

    def properties(self, model: type[BaseModel]) -> Mapping[str, Json]:
        schema = self._all[model.__name__]
        assert isinstance(schema, Mapping), "a model's schema is an object"
        properties = schema["properties"]
        assert isinstance(properties, Mapping), "so are its properties"
        return properties


def _operation(route: AnyRoute, schemas: _Schemas) -> dict[str, Json]:
    operation: dict[str, Json] = {
        "operationId": route.operation_id,
        "summary": route.summary,
        "tags": [route.tag],
        "parameters": _parameters(route, schemas),
        "security": [],
    }
    if not isinstance(route.scope, Everyone):
        operation["security"] = [{"key": []}]
        operation["description"] = f"Scope: `{route.scope.value}`."
    if route.body:
        operation["requestBody"] = {
            "required": not route.body_optional,
            "content": {
                "application/json": {"schema": schemas.reference(route.body, "validation")}
            },
        }
    return operation


def _parameters(route: AnyRoute, schemas: _Schemas) -> list[Json]:
    parameters: list[Json] = []
    for name in _PATH_IDS.findall(route.path):
        an_id = {"type": "string", "format": "uuid"}
        parameters.append({"name": name, "in": "path", "required": True, "schema": an_id})
    if route.key_use is not KeyUse.IGNORED:
        parameters.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": route.key_use is KeyUse.REQUIRED,
                "description": "The same for every try of one request, such as a UUID.",
                "schema": {"type": "string", "pattern": PATTERN},
            }
        )
    if route.takes_if_match:
        parameters.append(_tags(IF_MATCH, "Versions of the source account to perform this at."))
    if route.versioned:
        parameters.append(_tags(IF_NONE_MATCH, "Versions known already: 304 if it is at one."))
        parameters.append(_tags(IF_MATCH, "Versions wanted: 412 if it is at another."))
    if route.may_wait:
        parameters.append(
            {
                "name": "Prefer",
                "in": "header",
                "description": "`wait=N` waits up to N seconds, at most 30, for a terminal state.",
                "schema": {"type": "string", "examples": ["wait=10"]},
            }
        )
    if route.resumes:
        parameters.append(
            {
                "name": "Last-Event-ID",
                "in": "header",
                "description": "The last `id` that came, to go on behind it; before `cursor`.",
                "schema": {"type": "string"},
            }
        )
    if route.query:
        for name, schema in schemas.properties(route.query).items():
            parameters.append({"name": name, "in": "query", "schema": _without_null(schema)})
    return parameters


def _without_null(schema: Json) -> Json:
    """A query's parameter is there or not; it cannot be null, as a model's field can."""
    match schema:
        case {"anyOf": [kind, {"type": "null"}], **rest}:
            assert isinstance(kind, Mapping), "a kind is a schema"
            return {**{name: value for name, value in rest.items() if name != "default"}, **kind}
        case _:
            return schema


def _tags(name: str, description: str) -> Json:
    """A condition's parameter: `*`, or entity tags (RFC 9110, section 8.8.3)."""
    tag = r'(W/)?"[!#-~]*"'
    schema = {"type": "string", "pattern": rf"^(\*|{tag}(, ?{tag})*)$", "examples": ['"7"']}
    return {"name": name, "in": "header", "description": description, "schema": schema}


def _responses(route: AnyRoute, routes: Sequence[AnyRoute], schemas: _Schemas) -> Json:
    responses: dict[str, Json] = {}
    for status, success in route.successes.items():
        described: dict[str, Json] = {
            "description": success.description,
            "headers": _success_headers(route, success),
            "content": {success.media_type: _content(success, schemas)},
        }
        if links := links_of(route, success, routes):
            described["links"] = links
        responses[str(status)] = described
    if route.versioned:
        headers = _success_headers(route, route.successes[200])
        responses["304"] = {"description": "It is at a version known already.", "headers": headers}
    for status in _refusals(route):
        if str(status) not in responses:
            responses[str(status)] = {"$ref": f"#/components/responses/{status}"}
    return responses


def _success_headers(route: AnyRoute, success: Success) -> dict[str, Json]:
    said = [*_EVERY_ANSWER]
    if route.rate_class is not None:
        said += ["RateLimit", "RateLimitPolicy"]
    if route.key_use is not KeyUse.IGNORED:
        said += ["Replayed", "StreamPosition"]
    own = {name: _header(text) for name, text in success.headers.items()}
    return {**_references(said), **own}


def _content(success: Success, schemas: _Schemas) -> Json:
    if success.model is None:
        return {}
    return {"schema": schemas.reference(success.model, "serialization")}


def _refusals(route: AnyRoute) -> list[int]:
    """The problems a route may answer, from what it takes."""
    found = {400, 500, *route.refusals}
    if not isinstance(route.scope, Everyone):
        found |= {401, 403, 429, 503}
    if "{" in route.path:
        found.add(404)
    if route.query:
        found.add(422)
    if route.body:
        found |= {408, 413, 415, 422}
    if route.key_use is not KeyUse.IGNORED:
        found |= {404, 409, 422}
    if route.takes_if_match or route.versioned:
        found.add(412)
    return sorted(found)


def _problem(status: int) -> Json:
    reference = {"$ref": _REFERENCE.format(model=ProblemResponse.__name__)}
    return {
        "description": _PROBLEMS[status],
        "headers": _references((*_EVERY_ANSWER, *_OF_PROBLEM.get(status, ()))),
        "content": {CONTENT_TYPE: {"schema": reference}},
    }


def _references(names: Iterable[str]) -> dict[str, Json]:
    return {_HEADERS[name][0]: {"$ref": f"#/components/headers/{name}"} for name in names}


def _header(description: str) -> Json:
    return {"description": description, "schema": {"type": "string"}}
