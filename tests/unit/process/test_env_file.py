"""The `.env` file: what is taken of it, what it leaves alone, what is said when it is wrong."""

from pathlib import Path

import pytest

from process.env_file import take_env_file


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def _read(text: str, **environment: str) -> dict[str, str]:
    Path(".env").write_text(text, "utf-8")
    assert take_env_file(environment) == []
    return environment


def test_its_variables_are_as_if_they_were_set() -> None:
    """However shells and compose files write them."""
    text = """# where the servers are
PAYMENTS_DATABASE_HOST=db.example
export PAYMENTS_REDIS_HOST='redis.example'
PAYMENTS_KAFKA_BOOTSTRAP_SERVERS="a:9092,b:9092" # both
HTTPS_PROXY=http://proxy.example:3128
"""
    assert _read(text) == {
        "PAYMENTS_DATABASE_HOST": "db.example",
        "PAYMENTS_REDIS_HOST": "redis.example",
        "PAYMENTS_KAFKA_BOOTSTRAP_SERVERS": "a:9092,b:9092",
        "HTTPS_PROXY": "http://proxy.example:3128",
    }


def test_the_environment_wins() -> None:
    """What is set already stays, set to nothing included."""
    there = {"PAYMENTS_SERVER_PORT": "1", "PAYMENTS_SERVER_HOST": ""}
    assert _read("PAYMENTS_SERVER_PORT=2\nPAYMENTS_SERVER_HOST=3\n", **there) == there


def test_what_is_not_ours_is_left_alone() -> None:
    """And what is set to nothing sets nothing."""
    text = "PATH=/nowhere\nDATABASE_URL=x\nLD_PRELOAD=x\nMY_PAYMENTS_X=1\nPAYMENTS_X=\n"
    assert _read(text) == {}


def test_a_value_stands_for_itself() -> None:
    """A password may have a `$`, whatever is named behind it."""
    assert _read("PAYMENTS_DATABASE_PASSWORD='a${PATH}$b'") == {
        "PAYMENTS_DATABASE_PASSWORD": "a${PATH}$b"
    }


def test_without_a_file_nothing_is_said() -> None:
    environment: dict[str, str] = {}
    assert take_env_file(environment) == []
    assert environment == {}


def test_a_variable_names_another_or_none() -> None:
    """Another that is not there is told; none is none."""
    Path(".env").write_text("PAYMENTS_SERVER_PORT=1")
    Path("other").write_text("PAYMENTS_SERVER_PORT=2")
    environment = {"PAYMENTS_ENV_FILE": "other"}
    assert take_env_file(environment) == []
    assert environment["PAYMENTS_SERVER_PORT"] == "2"
    environment = {"PAYMENTS_ENV_FILE": ""}
    assert take_env_file(environment) == []
    assert "PAYMENTS_SERVER_PORT" not in environment
    assert take_env_file({"PAYMENTS_ENV_FILE": "gone"}) == [
        "PAYMENTS_ENV_FILE: there is no file gone."
    ]


def test_what_is_wrong_is_a_sentence_with_its_line() -> None:
    Path(".env").write_text("PAYMENTS_SERVER_PORT=1\n\nnonsense\n=2\n")
    assert take_env_file({}) == [
        ".env, line 3: expected NAME=value.",
        ".env, line 4: expected NAME=value.",
    ]
    Path(".env").write_bytes(b"PAYMENTS_SERVER_HOST=\xff")
    assert take_env_file({}) == [".env cannot be read: it is not UTF-8."]
    Path(".env").unlink()
    Path(".env").mkdir()
    assert take_env_file({}) == [".env cannot be read: Is a directory."]
