"""Secrets from files, as orchestrators mount them, for whatever is a secret; and service links."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import pytest
from pydantic import SecretStr

from process.sections import SecretFiles, Section, complaints
from process.servers import DatabaseSettings, RedisSettings
from process.settings import Settings
from providers.registry import SECTIONS
from providers.stripe.config import StripeConfig
from tests.support.project.variables import settings

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No `PAYMENTS_*` of the machine decides a test."""
    for name in [name for name in os.environ if name.startswith("PAYMENTS_")]:
        monkeypatch.delenv(name)


def _secrets() -> dict[str, type[Section]]:
    """Every variable that is a secret, with its section."""
    ours = [each.default_factory for each in Settings.__dataclass_fields__.values()]
    sections = [each for each in (*ours, *SECTIONS.values()) if isinstance(each, type)]
    return {
        str(field.validation_alias): section
        for section in sections
        if issubclass(section, Section)
        for field in section.model_fields.values()
        if field.annotation is SecretStr
    }


SECRETS: Final = _secrets()


def test_passwords_keys_and_secrets_are_secrets() -> None:
    """Whatever is called one is held as one, so that a file may have it."""
    read = settings()
    sections = [getattr(read, name) for name in Settings.__dataclass_fields__]
    named = {
        str(field.validation_alias)
        for section in (*sections, *read.providers.values())
        if isinstance(section, Section)
        for field in type(section).model_fields.values()
        if str(field.validation_alias).endswith(("PASSWORD", "SECRET", "API_KEY"))
    }
    assert named <= SECRETS.keys()


@pytest.mark.parametrize("variable", SECRETS)
@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_file_has_what_its_variable_would(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, end: str
) -> None:
    """Without the new line with which editors end a file; spaces are part of it."""
    file = tmp_path / "secret"
    secret = "stripe= hunter2 "  # as the simulator's keys are written, too
    file.write_bytes((secret + end).encode())
    monkeypatch.setenv(f"{variable}_FILE", str(file))
    assert SecretFiles(SECRETS[variable])() == {variable: secret}


def test_a_section_reads_its_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("hunter2\n")
    monkeypatch.setenv("PAYMENTS_DATABASE_PASSWORD_FILE", str(file))
    assert DatabaseSettings().address().password == "hunter2"


def test_two_places_for_one_secret_are_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither is right by itself, and nobody would notice which is used."""
    file = tmp_path / "secret"
    file.write_text("hunter2")
    monkeypatch.setenv("PAYMENTS_DATABASE_PASSWORD", "hunter3")
    monkeypatch.setenv("PAYMENTS_DATABASE_PASSWORD_FILE", str(file))
    (complaint,) = complaints(DatabaseSettings)
    assert complaint == (
        "PAYMENTS_DATABASE_PASSWORD and PAYMENTS_DATABASE_PASSWORD_FILE are both set: "
        "which is meant?"
    )


def test_every_file_that_cannot_be_read_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe")
    monkeypatch.setenv("PAYMENTS_STRIPE_API_KEY_FILE", "/no/such/file")
    monkeypatch.setenv("PAYMENTS_STRIPE_WEBHOOK_SECRET_FILE", str(binary))
    assert complaints(StripeConfig) == [
        "PAYMENTS_STRIPE_API_KEY_FILE: /no/such/file cannot be read (No such file or directory).",
        f"PAYMENTS_STRIPE_WEBHOOK_SECRET_FILE: {binary} cannot be read (it is not UTF-8).",
    ]


def test_a_simulated_provider_leaves_a_secret_from_a_file_alone() -> None:
    """`make run` says what the simulator takes only where nobody said anything."""
    given = {"PAYMENTS_STRIPE_API_KEY_FILE": "/run/secrets/stripe"}
    assert "PAYMENTS_STRIPE_API_KEY" in StripeConfig.leading_to_simulator("http://here", {})
    assert "PAYMENTS_STRIPE_API_KEY" not in StripeConfig.leading_to_simulator("http://here", given)


def test_a_service_link_is_told_from_a_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to do about it: nobody set that variable, and it can be found in no manifest."""
    monkeypatch.setenv("PAYMENTS_REDIS_PORT", "tcp://10.96.12.7:6379")
    (complaint,) = complaints(RedisSettings)
    assert complaint.startswith("PAYMENTS_REDIS_PORT: tcp://10.96.12.7:6379 is a service link")
    assert "enableServiceLinks: false" in complaint
