"""A payment's answer is what the documented model says, byte for byte."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.contract.responses.answers import Page, json_answer, page_json
from api.contract.responses.payments import PaymentResponse
from api.contract.responses.rendered import payment_json
from payments.record import replace
from store.ids import id_of
from tests.support.payments.payment_paths import SITUATIONS, scene_of
from tests.support.payments.refund_paths import PATHS, refund_scene_of

if TYPE_CHECKING:
    from payments.payment import Payment

_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
# As a request's metadata is taken: what every reader of JSON keeps.
_NUMBERS = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
_VALUES = st.recursive(
    st.none() | st.booleans() | _NUMBERS | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=8,
)


def modelled(payment: Payment) -> bytes:
    return PaymentResponse.of(payment).model_dump_json().encode()


@pytest.mark.parametrize("situation", SITUATIONS)
def test_every_state_of_a_payment_is_said_as_documented(situation: str) -> None:
    for decision in scene_of(situation).desk.decided:
        for payment in decision.payments:
            assert payment_json(payment) == modelled(payment)


@pytest.mark.parametrize("path", PATHS)
def test_a_payment_with_refunds_is_said_as_documented(path: str) -> None:
    for decision in refund_scene_of(path).desk.decided:
        for payment in decision.payments:
            assert payment_json(payment) == modelled(payment)


@given(description=_TEXT, metadata=st.dictionaries(_TEXT, _VALUES, max_size=4))
def test_what_a_client_says_is_said_as_documented(
    description: str, metadata: dict[str, object]
) -> None:
    """Any text; numbers as the same numbers, since writers differ in the digits of a large one."""
    made = _accepted()
    payment = replace(made, description=description, metadata=metadata)
    said, documented = payment_json(payment), modelled(payment)
    assert orjson.loads(said) == orjson.loads(documented)


def test_an_id_of_the_driver_is_said_as_documented() -> None:
    """As it is made, and as it comes out of the database."""
    made = _accepted()
    payment = replace(made, id=id_of(str(made.id)), source_account_id=id_of(str(made.id)))
    assert payment_json(payment) == modelled(payment)


@pytest.mark.parametrize("cursor", [None, 'a "quoted" one'])
@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_page_is_said_as_documented(count: int, cursor: str | None) -> None:
    payments = [_accepted()] * count
    documented = Page(data=[PaymentResponse.of(each) for each in payments], next_cursor=cursor)
    said = page_json([payment_json(each) for each in payments], cursor)
    assert said == json_answer(200, documented).body


def _accepted() -> Payment:
    (first, *_) = [each for one in scene_of("completed").desk.decided for each in one.payments]
    return first
