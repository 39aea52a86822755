"""What is kept of an event is enough to have it whole again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from payments.record import replace
from store.event_data import event_data, never_changed, told, whole
from tests.support.payments.payment_paths import SITUATIONS, scene_of
from tests.support.payments.refund_paths import PATHS, refund_scene_of

if TYPE_CHECKING:
    from uuid import UUID

    from payments.events import Event
    from tests.support.payments.desk import Desk


@pytest.mark.parametrize("situation", SITUATIONS)
def test_every_event_of_a_payment_is_whole_again(situation: str) -> None:
    assert_whole(scene_of(situation).desk)


@pytest.mark.parametrize("situation", PATHS)
def test_every_event_of_a_refund_is_whole_again(situation: str) -> None:
    assert_whole(refund_scene_of(situation).desk)


def assert_whole(desk: Desk) -> None:
    """As its message would have it, which is the model's, though most is not kept twice."""
    firsts: dict[UUID, str] = {}
    for event in (each for decision in desk.decided for each in decision.events):
        data = event_data(event)
        message, text = told(event)
        assert message == (data.model_dump_json() if event.is_public else "")
        first = firsts.setdefault(event.payment.id, text)
        assert read(event, text) == json.loads(data.model_dump_json())
        if event.payment.version > 1 and not (event.refund or event.dispute):
            assert len(text) < len(first)


def test_an_event_from_before_is_as_it_was() -> None:
    """It was kept whole, nulls and all."""
    desk = scene_of("completed").desk
    events = [each for decision in desk.decided for each in decision.events]
    for each in events:
        text = event_data(each).model_dump_json()
        assert read(each, text) == json.loads(text)


def test_nulls_that_a_client_gave_are_kept() -> None:
    """Metadata is the client's: what it says of nothing, too."""
    desk = scene_of("completed").desk
    (event, *_) = [each for decision in desk.decided for each in decision.events]
    given = replace(event, payment=replace(event.payment, metadata={"a": None, "b": {"c": None}}))
    message, text = told(given)
    assert message == event_data(given).model_dump_json()
    assert read(given, text) == json.loads(event_data(given).model_dump_json())


def read(event: Event, text: str) -> dict[str, object]:
    """As a client is given it, of a payment whose first event may be gone."""
    return whole(text, never_changed(event.payment), event.payment.version, event.occurred_at)
