"""What a browser sends with a form: read strictly, and made into the body the API takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, get_origin
from urllib.parse import parse_qsl

from api.http.problems import (
    MALFORMED_HTTP,
    UNSUPPORTED_MEDIA_TYPE,
    FieldError,
    Problem,
    invalid,
)
from api.http.strict_json import why_unacceptable

if TYPE_CHECKING:
    from pydantic import BaseModel

FORM_TYPE: Final = "application/x-www-form-urlencoded"
_FIELDS_MAX: Final = 50

Form = Mapping[str, str]


def parse_form(content_type: str, sent: bytes) -> Form:
    """The fields, each once. Raises Problem."""
    if content_type != FORM_TYPE:
        raise Problem(UNSUPPORTED_MEDIA_TYPE, f"send the form as {FORM_TYPE}")
    try:
        pairs = parse_qsl(
            sent.decode(), keep_blank_values=True, errors="strict", max_num_fields=_FIELDS_MAX
        )
    except ValueError:
        raise Problem(MALFORMED_HTTP, "the form cannot be read") from None
    form = dict(pairs)
    if len(form) != len(pairs):
        raise Problem(MALFORMED_HTTP, "the form has a field twice")
    for name, text in pairs:
        if reason := why_unacceptable(name) or why_unacceptable(text):
            raise invalid(FieldError(reason, f"/{name[:100]}"))
    return form


def body_of(form: Form, model: type[BaseModel]) -> dict[str, object]:
    """Those fields that the API's body has, as they were written; one left empty was not sent.

    Of a list each word is one.
    """
    sent = {name: form[name].strip() for name in model.model_fields if form.get(name, "").strip()}
    return {
        name: text.split() if get_origin(model.model_fields[name].annotation) is list else text
        for name, text in sent.items()
    }
