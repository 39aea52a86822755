"""Settings: names, defaults, durations as Go writes them, and what a wrong value is answered."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from process.sections import complaints, parse_duration
from process.servers import DatabaseSettings
from process.settings import ServerSettings, Settings, read_settings
from providers.registry import SECTIONS


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No `PAYMENTS_*` of the machine decides a test."""
    for name in [name for name in os.environ if name.startswith("PAYMENTS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PAYMENTS_ENV_FILE", "")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("15s", 15.0),
        ("1m30s", 90.0),
        ("500ms", 0.5),
        ("1.5h", 5400.0),
        (".5s", 0.5),
        ("2h45m", 9900.0),
        ("100us", 0.0001),
        ("100µs", 0.0001),
        ("100μs", 0.0001),  # Greek mu, which Go accepts as well
        ("250ns", 2.5e-7),
        ("1m1m", 120.0),
        ("0", 0.0),
    ],
)
def test_durations_read_as_go_writes_them(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "15", "s", "-5s", "5 s", "5sec", "1d", "1m 30s", "٣s", "."])
def test_what_go_would_not_write_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration like"):
        parse_duration(text)


@given(st.integers(0, 10**6), st.integers(0, 59), st.integers(0, 999))
def test_parts_of_a_duration_add_up(minutes: int, seconds: int, milliseconds: int) -> None:
    """As in 1m30s500ms."""
    text = f"{minutes}m{seconds}s{milliseconds}ms"
    assert parse_duration(text) == pytest.approx(minutes * 60 + seconds + milliseconds / 1000)


def test_defaults_are_the_documented_ones() -> None:
    settings = Settings()
    assert (settings.server.host, settings.server.port) == ("127.0.0.1", 8080)
    assert settings.server.read_timeout_seconds == 15.0
    assert settings.database.address().database == "payments"
    assert settings.payment.retry_delay_seconds == 1.0
    assert settings.payment.max_retries == 4
    assert settings.kafka.bootstrap_servers == "localhost:9092"
    assert settings.auth.mode == "keys"


def test_variables_set_what_they_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYMENTS_SERVER_READ_TIMEOUT", "1m30s")
    monkeypatch.setenv("PAYMENTS_DATABASE_POOL_SIZE", "3")
    settings = Settings()
    assert settings.server.read_timeout_seconds == 90.0
    assert settings.database.pool_size == 3


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """As compose files leave them."""
    monkeypatch.setenv("PAYMENTS_SERVER_PORT", "")
    assert Settings().server.port == 8080


def test_a_name_without_our_prefix_sets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """USER, HOST and PORT mean something else on most machines."""
    for name in ("USER", "HOST", "PORT", "PASSWORD", "DATABASE"):
        monkeypatch.setenv(name, "1")
    assert DatabaseSettings().user == "payments"
    assert DatabaseSettings().host == "localhost"


def test_a_secret_is_in_no_repr_and_in_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYMENTS_DATABASE_PASSWORD", "hunter2")
    settings = Settings()
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in repr(settings.database.address())
    assert settings.database.address().password == "hunter2"


@pytest.mark.parametrize(
    ("variable", "value", "complaint"),
    [
        ("PAYMENTS_SERVER_PORT", "eighty", "valid integer"),
        ("PAYMENTS_SERVER_PORT", "70000", "less than or equal to 65535"),
        ("PAYMENTS_PAYMENT_LOCK_TTL", "30", "'30' is not a duration like 15s"),
        ("PAYMENTS_PAYMENT_LOCK_TTL", "0s", "greater than 0"),
        ("PAYMENTS_AUTH_MODE", "none", "'keys' or 'open'"),
    ],
)
def test_a_wrong_value_is_one_sentence_that_names_the_variable(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variable: str,
    value: str,
    complaint: str,
) -> None:
    """And exit code 2."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(SystemExit) as stopped:
        read_settings()
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(f"{variable}: ")
    assert complaint in said
    assert said.count("\n") == 1


def test_every_wrong_variable_of_a_section_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYMENTS_SERVER_PORT", "0")
    monkeypatch.setenv("PAYMENTS_SERVER_WRITE_TIMEOUT", "never")
    assert [line.split(":")[0] for line in complaints(ServerSettings)] == [
        "PAYMENTS_SERVER_PORT",
        "PAYMENTS_SERVER_WRITE_TIMEOUT",
    ]


def test_the_wrong_variables_of_all_sections_are_named_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A payment provider's too."""
    monkeypatch.setenv("PAYMENTS_SERVER_PORT", "0")
    monkeypatch.setenv("PAYMENTS_KAFKA_BOOTSTRAP_SERVERS", "here:9092")
    monkeypatch.setenv("PAYMENTS_PAYPAL_TIMEOUT", "never")
    with pytest.raises(SystemExit):
        read_settings(SECTIONS)
    assert [line.split(":")[0] for line in capsys.readouterr().err.splitlines()] == [
        "PAYMENTS_SERVER_PORT",
        "PAYMENTS_PAYPAL_TIMEOUT",
    ]


@pytest.mark.parametrize(
    ("jaeger", "otlp", "endpoint"),
    [
        (None, None, ""),
        ("http://localhost:14268/api/traces", None, ""),
        ("http://jaeger:14268/api/traces", None, "http://jaeger:4318"),
        ("http://jaeger:14268/api/traces", "http://collector:4318", "http://collector:4318"),
    ],
)
def test_a_jaeger_endpoint_means_its_otlp_port(
    monkeypatch: pytest.MonkeyPatch, jaeger: str | None, otlp: str | None, endpoint: str
) -> None:
    """Unless an OTLP endpoint is given; the default sends nothing anywhere."""
    if jaeger is not None:
        monkeypatch.setenv("PAYMENTS_OBSERVABILITY_JAEGER_ENDPOINT", jaeger)
    if otlp is not None:
        monkeypatch.setenv("PAYMENTS_OBSERVABILITY_OTLP_ENDPOINT", otlp)
    assert Settings().observability.otlp_endpoint == endpoint


@pytest.mark.parametrize(("given_level", "level"), [("WARN", "warning"), ("Info", "info")])
def test_log_levels_are_taken_as_people_spell_them(
    monkeypatch: pytest.MonkeyPatch, given_level: str, level: str
) -> None:
    monkeypatch.setenv("PAYMENTS_OBSERVABILITY_LOG_LEVEL", given_level)
    assert Settings().observability.log_level == level


def test_a_file_in_the_current_folder_sets_what_the_environment_does_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """For every process, since each reads its settings here; what is wrong in it ends each."""
    monkeypatch.setattr(os, "environ", {"PAYMENTS_SERVER_HOST": "::1"})
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("PAYMENTS_SERVER_HOST=::2\nPAYMENTS_SERVER_PORT=81\n")
    server = read_settings().server
    assert (server.host, server.port) == ("::1", 81)
    (tmp_path / ".env").write_text("PAYMENTS_SERVER_PORT\n")
    with pytest.raises(SystemExit) as stopped:
        read_settings()
    assert stopped.value.code == 2
    assert capsys.readouterr().err == ".env, line 1: expected NAME=value.\n"
