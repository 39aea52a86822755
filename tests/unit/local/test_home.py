"""The folder of a run: its ports, its logs, and what a full or missing place is answered."""

import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from local import home as module
from local.embedded.wheel import binary
from local.home import Home
from local.program import StartError, free_port, known_cause


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / ".payments")
    made.prepare()
    return made


def test_the_folder_is_in_the_working_directory_unless_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Home.of({}).directory == tmp_path / ".payments"
    assert Home.of({"PAYMENTS_HOME": "/elsewhere"}).directory == Path("/elsewhere")


def test_a_free_preferred_port_is_taken(home: Home) -> None:
    preferred = free_port()
    assert home.port("kafka", preferred) == preferred


def test_a_port_that_had_to_differ_is_remembered(home: Home) -> None:
    """So that bookmarks and scrapers of last time still work."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        preferred = taken.getsockname()[1]
        first = home.port("kafka", preferred)
        assert first != preferred
        assert home.port("kafka", preferred) == first


def test_two_servers_never_get_one_port(home: Home) -> None:
    """Not even when neither listens yet."""
    preferred = free_port()
    assert home.port("kafka", preferred) != home.port("valkey", preferred)


def test_a_full_disk_is_one_sentence(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    full = shutil.disk_usage(home.directory)._replace(free=1024**2)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    with pytest.raises(StartError, match=r"The disk that holds .* is full: 1 MiB are free"):
        home.prepare()


def test_a_long_log_is_moved_aside_while_its_writer_goes_on(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOG_BYTES_MAX", 10)
    log = home.log("ingress")
    with log.open("ab", buffering=0) as writer:
        writer.write(b"a line that is long enough\n")
        home.shorten_logs()
        writer.write(b"next\n")
    assert log.read_text() == "next\n"
    assert log.with_suffix(".log.1").read_text() == "a line that is long enough\n"


def test_a_remembered_file_is_never_half_written(home: Home) -> None:
    """Whoever reads it while it is replaced sees one whole version."""
    module.write_atomically(home.record, json.dumps({"whole": True}))
    assert [path.name for path in home.directory.iterdir() if "json" in path.name] == ["run.json"]


def test_a_platform_without_the_wheel_is_told_what_to_set() -> None:
    with pytest.raises(
        StartError, match=r"No embedded Postgres is installed for .* set PAYMENTS_DATABASE_HOST"
    ):
        binary("no_such_wheel", "postgres", server="Postgres", instead="PAYMENTS_DATABASE_HOST")


@pytest.mark.parametrize(
    ("log", "sentence"),
    [
        (
            "bind: Address already in use",
            "kafka cannot listen on 127.0.0.1:9092: the port is taken.",
        ),
        ("write: No space left on device", "kafka cannot start: the disk that holds /d is full."),
        ("open: Permission denied", "kafka cannot start: no permission for /d."),
        ("something else", None),
    ],
)
def test_what_commonly_stops_a_server_is_said_in_one_sentence(
    log: str, sentence: str | None
) -> None:
    assert known_cause("kafka", log, Path("/d"), "127.0.0.1:9092") == sentence


_CLAIMS = """
import sys
from local.ports import claim
print(claim(int(sys.argv[1])), flush=True)
input()
"""


def test_a_port_that_another_run_is_about_to_use_is_not_taken(home: Home) -> None:
    """Its server does not listen yet: whoever looks meanwhile looks further."""
    port = free_port()
    with subprocess.Popen(  # noqa: S603 - our own lines
        (sys.executable, "-c", _CLAIMS, str(port)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        assert home.port("kafka", port) != port
        other.communicate("\n")
    assert home.port("valkey", port) == port
