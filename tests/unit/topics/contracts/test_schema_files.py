"""The committed JSON Schemas are those of the models, and of the messages."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from importlib.resources import files
from typing import TYPE_CHECKING, Final

import pytest
from click.testing import CliRunner
from jsonschema import (  # type: ignore[import-untyped]  # it ships no types
    Draft202012Validator,
    FormatChecker,
)
from pydantic import BaseModel, create_model

from cli.__main__ import main
from providers.registry import NAMES
from store.event_data import told
from store.write.outbox import messages
from tests.support.payments.desk import START
from tests.support.payments.payment_paths import SITUATIONS, scene_of
from tests.support.payments.refund_paths import PATHS, refund_scene_of
from topics.contracts import schema_files
from topics.contracts.catalogue import CHANNELS, PAYLOADS, Payload
from topics.contracts.schema_files import (
    IncompatibleSchema,
    committed,
    require_compatible,
    text_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from payments.decision import Decision
    from store.write.outbox import OutboxValues
    from tests.support.payments.desk import Desk

each_payload = pytest.mark.parametrize("payload", PAYLOADS, ids=lambda payload: payload.label)

FORMATS: Final = FormatChecker(["uuid"])


@FORMATS.checks("date-time", raises=ValueError)  # type: ignore[untyped-decorator]  # it ships no types
def is_rfc3339(text: object) -> bool:
    return not isinstance(text, str) or datetime.fromisoformat(text).tzinfo is not None


@each_payload
def test_the_committed_schema_is_the_models(payload: Payload) -> None:
    """`payments asyncapi --schemas topics/contracts/schemas` would change nothing."""
    assert committed(payload) == text_of(payload, NAMES)


@each_payload
def test_no_model_breaks_what_its_version_promises(payload: Payload) -> None:
    """The model still keeps the promise of the file: messages and readers of it are out there."""
    require_compatible(payload, committed(payload), NAMES)


def test_every_version_has_its_file_and_no_file_is_nobodys() -> None:
    """A version stays in the folder when the next one comes."""
    folder = files("topics.contracts").joinpath("schemas")
    assert {each.name for each in folder.iterdir() if each.name.endswith(".json")} == {
        f"{replace(payload, version=version).label}.json"
        for payload in PAYLOADS
        for version in range(1, payload.version + 1)
    }


def test_a_broken_promise_says_how_to_make_a_new_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command that writes the files refuses, changes none, and names the way on."""
    before = Payload("thing", 1, create_model("Thing", name=(str, ...), size=(int, ...)))
    monkeypatch.setattr(schema_files, "PAYLOADS", (before,))
    (written,) = schema_files.write(tmp_path, NAMES)
    text = written.read_text()
    smaller: type[BaseModel] = create_model("Thing", name=(str, ...))
    monkeypatch.setattr(schema_files, "PAYLOADS", (replace(before, model=smaller),))
    answer = CliRunner().invoke(main, ["asyncapi", "--schemas", str(tmp_path)])
    assert answer.exit_code == 1
    for said in ("thing.v1.json", "size: is gone", "make thing.v2", "topics/contracts/catalogue"):
        assert said in answer.output
    assert written.read_text() == text
    with pytest.raises(IncompatibleSchema):
        require_compatible(replace(before, model=smaller), text, NAMES)


def test_a_new_version_gets_a_file_beside_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With another version, the model owes the old file nothing."""
    before = Payload("thing", 1, create_model("Thing", name=(str, ...)))
    after = Payload("thing", 2, create_model("Thing", title=(str, ...)))
    for payload in (before, after):
        monkeypatch.setattr(schema_files, "PAYLOADS", (payload,))
        schema_files.write(tmp_path, NAMES)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["thing.v1.json", "thing.v2.json"]
    assert '"name"' in (tmp_path / "thing.v1.json").read_text()


@pytest.mark.parametrize("situation", SITUATIONS)
def test_what_is_said_of_a_payment_is_as_promised(situation: str) -> None:
    """Every message of a payment's life fits its channel's schema, and its type is declared."""
    assert_promised(scene_of(situation).desk)


@pytest.mark.parametrize("situation", PATHS)
def test_what_is_said_of_a_refund_is_as_promised(situation: str) -> None:
    """Every message of a refund's life fits its channel's schema, and its type is declared."""
    assert_promised(refund_scene_of(situation).desk)


def assert_promised(desk: Desk) -> None:
    by_name = {channel.name: channel for channel in CHANNELS}
    said = [row for decision in desk.decided for row in rows_of(decision)]
    assert said
    for row in said:
        channel = by_name[row.aggregatetype]
        assert row.type in channel.types
        schema = json.loads(committed(channel.payload))
        Draft202012Validator(schema, format_checker=FORMATS).validate(json.loads(row.payload))
        has_sequence, has_cause = row.sequence is not None, row.causationid is not None
        assert has_sequence == ("ce_sequence" in channel.headers)
        assert not has_cause or "ce_causationid" in channel.headers


def rows_of(decision: Decision) -> Iterable[OutboxValues]:
    words = [told(event).message for event in decision.events]
    return messages(decision, words, None, START)
