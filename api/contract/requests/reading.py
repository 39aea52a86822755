"""Reads a model out of what was sent; every refusal is a Problem that names the place."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final, TypeVar

from pydantic import BaseModel, ValidationError

from api.contract.requests.fields import PROVIDERS
from api.http import strict_json
from api.http.problems import MALFORMED_JSON, PARAMETER_UNKNOWN, FieldError, Problem, invalid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic_core import ErrorDetails

ModelT = TypeVar("ModelT", bound=BaseModel)

# A refusal lists what is wrong, not everything a hostile body can get wrong.
_ERRORS_MAX: Final = 20
_NAME_LENGTH_MAX: Final = 100
_UNKNOWN: Final = "is not known here"


def parse_body(body: bytes) -> object:
    """The JSON value of a body. Raises Problem for what is not JSON or cannot be stored."""
    try:
        value = strict_json.parse(body)
    except strict_json.MalformedJson as error:
        raise Problem(MALFORMED_JSON, f"the body is not acceptable JSON: {error}") from None
    bad = strict_json.unacceptable_text(body, value)
    if bad is not None:
        raise invalid(FieldError(bad.reason, bad.pointer))
    return value


def read_body(model: type[ModelT], value: object, providers: Sequence[str]) -> ModelT:
    """The model in a parsed body; `providers` are those there are. Raises Problem."""
    if not isinstance(value, dict):
        raise invalid(FieldError("must be a JSON object", ""))
    known = model.model_fields
    if len(value) > len(known):  # then some are unknown, and the first of them are enough to say
        raise _unknown([name for name in value if name not in known])
    try:
        return model.model_validate(value, context={PROVIDERS: providers})
    except ValidationError as error:
        raise invalid(*(_in_body(each) for each in _first(error))) from None


def _unknown(names: Sequence[str]) -> Problem:
    where = (strict_json.pointer(name[:_NAME_LENGTH_MAX]) for name in names[:_ERRORS_MAX])
    return invalid(*(FieldError(_UNKNOWN, pointer) for pointer in where))


def read_query(
    model: type[ModelT], parameters: Sequence[tuple[str, str]], providers: Sequence[str]
) -> ModelT:
    """The model in a query string's pairs; `providers` are those there are. Raises Problem."""
    refuse_unreadable(parameters)
    values: dict[str, str] = {}
    for name, text in parameters:
        if name in values:
            raise invalid(FieldError("appears twice", parameter=_shown(name)))
        values[name] = text
    return _queried(model, values, providers)


def refuse_unreadable(parameters: Sequence[tuple[str, str]]) -> None:
    """Raise Problem for what no database stores and no page shows, whatever it is for."""
    for name, text in parameters:
        if reason := strict_json.why_unacceptable(name) or strict_json.why_unacceptable(text):
            raise invalid(FieldError(reason, parameter=_shown(name)))


def refuse_parameters(parameters: Sequence[tuple[str, str]]) -> None:
    """Raise Problem (400) where none is taken: who sent one expects it to do something."""
    if parameters:
        named = (FieldError(_UNKNOWN, parameter=_shown(name)) for name, _ in parameters)
        raise invalid(*islice(named, _ERRORS_MAX), kind=PARAMETER_UNKNOWN)


def _queried(model: type[ModelT], values: Mapping[str, str], providers: Sequence[str]) -> ModelT:
    try:
        return model.model_validate(values, context={PROVIDERS: providers})
    except ValidationError as error:
        raise invalid(*(_in_query(each) for each in _first(error))) from None


def _shown(name: str) -> str:
    """A parameter's name as an answer can bear it: what is not UTF-8 reads U+FFFD."""
    return name[:_NAME_LENGTH_MAX].encode(errors="surrogateescape").decode(errors="replace")


def _first(error: ValidationError) -> list[ErrorDetails]:
    return error.errors(include_url=False, include_context=False, include_input=False)[:_ERRORS_MAX]


def _in_body(error: ErrorDetails) -> FieldError:
    path = tuple(str(step)[:_NAME_LENGTH_MAX] for step in error["loc"])
    return FieldError(_reason(error), strict_json.pointer(*path))


def _in_query(error: ErrorDetails) -> FieldError:
    return FieldError(_reason(error), parameter=str(error["loc"][0])[:_NAME_LENGTH_MAX])


def _reason(error: ErrorDetails) -> str:
    """What is wrong, as the second half of a sentence about the field."""
    match error["type"]:
        case "missing":
            return "is required"
        case "extra_forbidden":
            return _UNKNOWN
        case "string_type":
            return "must be a string"
        case _:
            return error["msg"].removeprefix("Input ").removeprefix("String ")
