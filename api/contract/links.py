"""What can be asked next with what an answer says: the links of the OpenAPI document.

They follow from the routes alone. An id leads to the addresses below its kind, `account_id` and
the like to the account, `next_cursor` to the next page, and a new account to what debits it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, get_args

from pydantic import BaseModel

from api.http.preconditions import IF_MATCH

if TYPE_CHECKING:
    from api.contract.route import AnyRoute, Success

# What JSON is made of.
Json = Mapping[str, "Json"] | Sequence["Json"] | str | int | float | bool | None

_ID: Final = "/{id}"
_ID_FIELD: Final = "id"
_NESTED: Final = re.compile(r".*/(?P<owner>[a-z-]+)s/\{id\}/[a-z-]+/\{(?P<name>\w+)\}")
_BODY: Final = "$response.body#"


def links_of(route: AnyRoute, success: Success, routes: Sequence[AnyRoute]) -> dict[str, Json]:
    """The links of one success of a route, by name."""
    if success.model is None:
        return {}
    item, pointer = _item_of(success.model)
    resources = _resources(routes)
    links: dict[str, Json] = {}
    for field in item.model_fields:
        for target in _targets(item, field, resources, routes):
            if target is not route:
                link = _link(target, {_ID_FIELD: f"{_BODY}{pointer}/{field}"})
                links[f"{target.operation_id}.{field}"] = link
    links |= _nested(item, pointer, route, routes)
    if "next_cursor" in success.model.model_fields:
        links["next_page"] = _link(route, dict(_next_page(route)))
    if "ETag" in success.headers and issubclass(resources["account"][1], item):
        links |= _debits(routes)
    return links


def _item_of(model: type[BaseModel]) -> tuple[type[BaseModel], str]:
    """What an answer shows, and where in it: a page shows its first."""
    if "data" not in model.model_fields or "next_cursor" not in model.model_fields:
        return model, ""
    (item,) = get_args(model.model_fields["data"].annotation)
    assert issubclass(item, BaseModel), "a page is a list of models"
    return item, "/data/0"


def _resources(routes: Sequence[AnyRoute]) -> dict[str, tuple[str, type[BaseModel]]]:
    """What has an address of its own: its name, as in `payment_id`; its address; its model."""
    found: dict[str, tuple[str, type[BaseModel]]] = {}
    for route in routes:
        if route.method == "GET" and route.path.endswith(_ID):
            collection = route.path.removesuffix(_ID).rpartition("/")[2]
            model = route.successes[200].model
            assert model is not None, "what has an address has a model"
            found[collection.removesuffix("s").replace("-", "_")] = (route.path, model)
    return found


def _targets(
    item: type[BaseModel],
    field: str,
    resources: Mapping[str, tuple[str, type[BaseModel]]],
    routes: Sequence[AnyRoute],
) -> Iterator[AnyRoute]:
    """The routes a field's value is the `{id}` of."""
    for name, (path, model) in resources.items():
        own = field == _ID_FIELD and issubclass(model, item)
        foreign = f"_{field}".endswith(f"_{name}_id")
        for route in routes:
            if (own and route.path.startswith(path) and not _NESTED.fullmatch(route.path)) or (
                foreign and route.method == "GET" and route.path == path
            ):
                yield route


def _nested(
    item: type[BaseModel], pointer: str, here: AnyRoute, routes: Sequence[AnyRoute]
) -> dict[str, Json]:
    """The addresses that what is shown has below what owns it, as `.../{id}/things/{thing_id}`."""
    links: dict[str, Json] = {}
    shown = {each.path: each.successes[200].model for each in routes if each.method == "GET"}
    for target in routes:
        named, model = _NESTED.fullmatch(target.path), shown.get(target.path)
        if named and target is not here and model is not None and issubclass(model, item):
            owner = f"{named['owner'].replace('-', '_')}_id"
            parameters: dict[str, Json] = {
                _ID_FIELD: f"{_BODY}{pointer}/{owner}",
                named["name"]: f"{_BODY}{pointer}/{_ID_FIELD}",
            }
            links[f"{target.operation_id}.{_ID_FIELD}"] = _link(target, parameters)
    return links


def _next_page(route: AnyRoute) -> Iterator[tuple[str, Json]]:
    """The cursor, and what it is bound to."""
    yield "cursor", f"{_BODY}/next_cursor"
    if _ID in route.path:
        yield _ID_FIELD, "$request.path.id"


def _debits(routes: Sequence[AnyRoute]) -> dict[str, Json]:
    """What takes money out of the account shown, while it is as it is shown.

    A link's `requestBody` is a whole body or an expression for one, which these fields are not.
    """
    body = {"source_account_id": f"{_BODY}/{_ID_FIELD}", "currency": f"{_BODY}/currency"}
    return {
        f"{target.operation_id}.source_account_id": {
            **_link(target, {IF_MATCH: "$response.header.ETag"}),
            "x-request-body": body,
        }
        for target in routes
        if target.takes_if_match
    }


def _link(target: AnyRoute, parameters: Mapping[str, Json]) -> dict[str, Json]:
    return {"operationId": target.operation_id, "parameters": parameters}
