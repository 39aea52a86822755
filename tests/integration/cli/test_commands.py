"""What `payments run`, `status` and `migrate` answer when called, mistakes included."""

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner, Result

from cli.__main__ import main
from local.home import Home
from local.program import free_port, is_free
from local.run import with_port
from process.addresses import DatabaseAddress
from process.settings import read_settings
from store.migrations import read_migrations


@pytest.fixture(autouse=True)
def environment(tmp_path: Path) -> Iterator[None]:
    """An environment of its own, which commands may add to, and a free port for the API."""
    before = dict(os.environ)
    os.environ["PAYMENTS_HOME"] = str(tmp_path / ".payments")
    os.environ["PAYMENTS_SERVER_PORT"] = str(free_port())
    yield
    os.environ.clear()
    os.environ.update(before)


def payments(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, prog_name="payments")


def test_every_command_is_listed_with_what_it_does() -> None:
    """Each is imported for it, so a broken one would show."""
    result = payments("--help")
    assert result.exit_code == 0, result.exception
    for name in ("run", "status", "migrate", "demo"):
        assert name in result.output


def test_a_taken_port_is_one_sentence_that_names_the_variable() -> None:
    """Before anything is started."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        os.environ["PAYMENTS_SERVER_PORT"] = str(taken.getsockname()[1])
        result = payments("run")
    assert result.exit_code == 1
    assert result.output.count("\n") == 1
    holder = f"the port is taken by {psutil.Process().name()} (process {os.getpid()})"
    assert f"{holder}; set PAYMENTS_SERVER_PORT to another, or give --free-ports" in result.output


def test_with_free_ports_the_api_takes_the_next_one_and_says_so() -> None:
    """Of those behind the one that is taken."""
    said: list[str] = []
    settings = read_settings()
    wanted = settings.server.port
    assert with_port(settings, said.append, may_differ=True) is settings
    with socket.create_server(("127.0.0.1", wanted)):
        chosen = with_port(settings, said.append, may_differ=True).server.port
    assert chosen > wanted
    assert is_free(chosen)
    (line,) = said
    assert line.startswith(
        f"The API listens on port {chosen} instead of {wanted}: the port is taken"
    )


def test_a_second_run_in_the_same_folder_is_refused() -> None:
    """Naming the process that has it."""
    home = Home.of(os.environ)
    home.prepare()
    with (home.directory / "run.lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("4711")
        lock.flush()
        result = payments("run")
    assert result.exit_code == 1
    assert "already running" in result.output
    assert "process 4711" in result.output


def test_a_wrong_setting_is_one_sentence_and_exit_code_2() -> None:
    """Naming the variable."""
    os.environ["PAYMENTS_PAYMENT_RETRY_DELAY"] = "soon"
    result = payments("run")
    assert result.exit_code == 2
    assert result.output == (
        "PAYMENTS_PAYMENT_RETRY_DELAY: 'soon' is not a duration like 15s, 1m30s or 500ms.\n"
    )


def test_a_folder_that_cannot_be_used_is_one_sentence(tmp_path: Path) -> None:
    """Here because a file is in its place."""
    (tmp_path / ".payments").touch()
    result = payments("run")
    assert result.exit_code == 1
    assert "cannot be used" in result.output
    assert result.output.count("\n") == 1


def test_status_of_nothing_says_so_and_exits_3() -> None:
    """In words and as JSON."""
    result = payments("status")
    assert result.exit_code == 3
    assert "Nothing runs in" in result.output
    said = json.loads(payments("status", "--json").output)
    assert said == {"running": False, "left_behind": []}


def test_migrate_goes_up_shows_itself_and_comes_down(empty_database: DatabaseAddress) -> None:
    """One word a step."""
    lead_to(empty_database)
    assert "applied 0001_initial" in payments("migrate", "up").output
    assert payments("migrate", "up").output == "nothing is pending\n"
    assert "0001_initial  applied 20" in payments("migrate", "status").output
    assert payments("migrate", "down", "--yes").output.startswith("took back ")


def test_migrate_down_says_what_goes_from_where_and_asks(empty_database: DatabaseAddress) -> None:
    """Once for each: who says nothing, or no, takes nothing back."""
    lead_to(empty_database)
    payments("migrate", "up")
    steps = payments("migrate", "status").output
    newest = steps.splitlines()[-1].split()[0]
    for answer in ("", "n\n"):
        asked = CliRunner().invoke(main, ("migrate", "down"), input=answer)
        assert asked.exit_code == 1
        assert f"{newest} is taken back from the database {empty_database.database}" in asked.output
        assert f"at {empty_database.host}:{empty_database.port}. " in asked.output
        assert payments("migrate", "status").output == steps
    said = CliRunner().invoke(main, ("migrate", "down"), input="y\n")
    assert said.output.endswith(f"took back {newest}\n")


def test_a_migration_says_which_data_its_way_back_loses() -> None:
    """Tables and columns, however many a statement names; not what a function would drop."""
    loses = {each.label: each.loses for each in read_migrations()}
    assert loses["0007_letter_queues"] == (
        "column payments.charge_blocked_by", "column payments.refund_blocked_by",
        "column dead_letters.queued_for", "column dead_letters.waits_behind",
    )  # fmt: skip
    assert loses["0006_authorization_expiry"] == ("column payments.authorization_expires_at",)
    assert loses["0023_event_feed"] == ("table outbox_dropped",)
    assert loses["0028_packed_indexes"] == ()


def test_migrate_without_a_database_is_one_sentence() -> None:
    """And exit code 1."""
    os.environ["PAYMENTS_DATABASE_HOST"] = "127.0.0.1"
    os.environ["PAYMENTS_DATABASE_PORT"] = str(free_port())
    result = payments("migrate", "up")
    assert result.exit_code == 1
    assert result.output.startswith("payments migrate: ")
    assert result.output.count("\n") == 1


def lead_to(database: DatabaseAddress) -> None:
    os.environ["PAYMENTS_DATABASE_HOST"] = database.host
    os.environ["PAYMENTS_DATABASE_PORT"] = str(database.port)
    os.environ["PAYMENTS_DATABASE_DATABASE"] = database.database
