"""What HTTP answers of a payment is a contract of its own, apart from what the topics say of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import pytest
from pydantic import BaseModel

from api.contract.responses.accounts import AccountResponse
from api.contract.responses.dead_letters import DeadLetterResponse
from api.contract.responses.events import EventsResponse
from api.contract.responses.payments import PaymentResponse
from api.contract.responses.refunds import RefundResponse
from api.routes import ROUTES
from topics.contracts import payloads
from topics.contracts.payloads import AccountData, DeadLetterData, PaymentData, RefundData

if TYPE_CHECKING:
    from collections.abc import Iterator

# An answer, the payload beside it, and which of the payload's fields HTTP keeps back.
PAIRS: list[tuple[type[BaseModel], type[BaseModel], set[str]]] = [
    (PaymentResponse, PaymentData, set()),
    (RefundResponse, RefundData, set()),
    (AccountResponse, AccountData, set()),
    (DeadLetterResponse, DeadLetterData, {"cut"}),
]
# The feed tells what the topics tell.
ANSWERED = dict.fromkeys(
    success.model
    for route in ROUTES
    for success in route.successes.values()
    if success.model and success.model is not EventsResponse
)


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    """The models an annotation is made of, and theirs."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        for field in annotation.model_fields.values():
            yield from _models_in(field.annotation)
    for part in get_args(annotation):
        yield from _models_in(part)


@pytest.mark.parametrize("model", ANSWERED, ids=lambda model: model.__name__)
def test_a_field_added_to_a_payload_is_none_of_an_answer(model: type[BaseModel]) -> None:
    """No answer is made of a topic's payload, nor inherits from one, however deep one looks."""
    lineage = {base for each in _models_in(model) for base in each.__mro__}
    assert {base.__name__ for base in lineage if base.__module__ == payloads.__name__} == set()


@pytest.mark.parametrize(("answer", "payload", "kept_back"), PAIRS)
def test_a_field_of_a_payload_is_decided_about(
    answer: type[BaseModel], payload: type[BaseModel], kept_back: set[str]
) -> None:
    """A new one is either written into the answer too, or named above."""
    assert payload.model_fields.keys() - answer.model_fields.keys() == kept_back
