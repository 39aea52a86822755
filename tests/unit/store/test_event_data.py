"""What is kept of an event is enough to have it whole again."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from store.event_data import event_data, kept, whole
from tests.support.payments.payment_paths import SITUATIONS, scene_of
from tests.support.payments.refund_paths import PATHS, refund_scene_of

if TYPE_CHECKING:
    from uuid import UUID

    from tests.support.payments.desk import Desk


@pytest.mark.parametrize("situation", SITUATIONS)
def test_every_event_of_a_payment_is_whole_again(situation: str) -> None:
    assert_whole(scene_of(situation).desk)


@pytest.mark.parametrize("situation", PATHS)
def test_every_event_of_a_refund_is_whole_again(situation: str) -> None:
    assert_whole(refund_scene_of(situation).desk)


def assert_whole(desk: Desk) -> None:
    """As its message has it, public or not, though most of it is not kept twice."""
    firsts: dict[UUID, str] = {}
    for event in (each for decision in desk.decided for each in decision.events):
        data = event_data(event)
        text = kept(event, data)
        first = firsts.setdefault(event.payment.id, text)
        assert whole(text, first) == json.loads(data.model_dump_json())
        if event.payment.version > 1 and not (event.refund or event.dispute):
            assert len(text) < len(first)


def test_an_event_from_before_is_as_it_was() -> None:
    """It was kept whole, nulls and all."""
    desk = scene_of("completed").desk
    events = [each for decision in desk.decided for each in decision.events]
    first, *_, last = [event_data(each).model_dump_json() for each in events]
    assert whole(last, first) == json.loads(last)


def test_nulls_that_a_client_gave_are_kept() -> None:
    """Metadata is the client's: what it says of nothing, too."""
    desk = scene_of("completed").desk
    (event, *_) = [each for decision in desk.decided for each in decision.events]
    given = replace(event, payment=replace(event.payment, metadata={"a": None, "b": {"c": None}}))
    text = kept(given, event_data(given))
    assert whole(text, text) == json.loads(event_data(given).model_dump_json())
