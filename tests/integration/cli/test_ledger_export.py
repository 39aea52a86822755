"""An exported journal is verified without its database, and whatever was done to it is named."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Final

import pytest
from click.testing import CliRunner, Result

from cli.__main__ import main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from process.addresses import DatabaseAddress
    from tests.support.store.books import Books


@pytest.fixture
def settings(database: DatabaseAddress, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The commands find the test's database."""
    monkeypatch.setenv("PAYMENTS_HOME", str(tmp_path))
    for name in ("host", "port", "user", "password", "database"):
        monkeypatch.setenv(f"PAYMENTS_DATABASE_{name.upper()}", str(getattr(database, name)))


async def payments(*arguments: str | Path) -> Result:
    """The command as a process of its own would run it, with a loop of its own."""
    return await asyncio.to_thread(CliRunner().invoke, main, [str(each) for each in arguments])


@pytest.fixture
async def exported(books: Books, settings: None, tmp_path: Path) -> Path:
    """Two seals of five rows and three, and three rows that wait."""
    del settings
    for transfers in (3, 1):
        await books.write(transfers)
        await books.seal()
    await books.write(1)
    path = tmp_path / "journal.jsonl"
    result = await payments("ledger", "export", "--output", path)
    assert result.exit_code == 0, result.output
    return path


Lines = list[bytes]
# Lines: 0 title, 1 to 5 rows, 6 seal, 7 to 9 rows, 10 seal, 11 to 13 rows, 14 end.
FORGERIES: Final[dict[str, tuple[Callable[[Lines], Lines], list[str]]]] = {
    "changed amount": (
        lambda lines: changed(lines, 3, b'"amount_minor":1', b'"amount_minor":9'),
        ["row changed"],
    ),
    "deleted row": (lambda lines: lines[:3] + lines[4:], ["row deleted", "the end counts"]),
    "inserted row": (
        lambda lines: [*lines[:3], lines[8], *lines[3:]],
        ["row inserted", "the end counts"],
    ),
    "reordered rows": (
        lambda lines: [*lines[:3], lines[4], lines[3], *lines[5:]],
        ["row moved", "row moved"],
    ),
    "changed seal": (
        lambda lines: changed(lines, 6, b'"number":1', b'"number":2'),
        ["seal missing", "seal changed", "seal changed"],
    ),
    "deleted seal": (lambda lines: lines[:6] + lines[7:], ["seal missing", "the end counts"]),
    "cut short": (lambda lines: lines[:9], ["no end"]),
    "something after the end": (lambda lines: [*lines, lines[-1]], ["after the end"]),
    "not a journal": (lambda lines: lines[1:], ["a journal begins by saying so"]),
    "another format": (lambda lines: changed(lines, 0, b".v1", b".v9"), ["payments.journal.v9"]),
    "half a line": (lambda lines: [*lines[:4], lines[4][:50]], ["line 5: Invalid JSON"]),
    "an amount that is no integer": (
        lambda lines: changed(lines, 3, b'"amount_minor":1', b'"amount_minor":0.1'),
        ["line 4: Input should be a valid integer"],
    ),
}


def changed(lines: Lines, at: int, old: bytes, new: bytes) -> Lines:
    assert old in lines[at]
    return [*lines[:at], lines[at].replace(old, new), *lines[at + 1 :]]


async def test_an_export_holds(exported: Path) -> None:
    """It says what it is, and everything in it is as it was sealed."""
    lines = exported.read_bytes().splitlines()
    assert [next(iter(json.loads(line))) for line in lines] == [
        "journal", *["row"] * 5, "seal", *["row"] * 3, "seal", *["row"] * 3, "end",
    ]  # fmt: skip
    result = await payments("ledger", "verify", exported)
    expected = "8 rows in 2 seals are as they were sealed; 3 rows wait for their seal.\n"
    assert (result.exit_code, result.output) == (0, expected)


@pytest.mark.parametrize("forgery", FORGERIES)
async def test_what_was_done_to_an_export_is_named(exported: Path, forgery: str) -> None:
    """Line by line, without the database."""
    forge, expected = FORGERIES[forgery]
    exported.write_bytes(b"".join(forge(exported.read_bytes().splitlines(keepends=True))))
    result = await payments("ledger", "verify", exported)
    assert result.exit_code == 1
    said = result.output.splitlines()[:-1]
    found = [name for name in expected if any(name in line for line in said)]
    assert found == expected, result.output


async def test_the_database_is_held_against_an_earlier_export(books: Books, exported: Path) -> None:
    """Rows and seals made anew fit each other, and not what was exported before."""
    known = ("ledger", "verify", "--known", exported)
    assert (await payments(*known)).exit_code == 0
    await books.forge(
        "DELETE FROM ledger_seals;"
        "UPDATE ledger_transfers SET amount_minor = 1 WHERE id = (TABLE fourth)"
    )
    await books.seal()
    assert (await payments("ledger", "verify")).exit_code == 0
    result = await payments(*known)
    assert result.exit_code == 1
    assert "default: seal 2: seal missing" in result.output


async def test_one_tenants_journal_is_its_own(books: Books, exported: Path) -> None:
    """No other tenant's row is in it, and it holds alone."""
    await books.write(2, "other")
    await books.seal()
    own = exported.with_name("other.jsonl")
    await payments("ledger", "export", "--tenant", "other", "--output", own)
    contents = [
        line for line in own.read_text().splitlines() if '"row"' in line or '"seal"' in line
    ]
    assert len(contents) == 5
    assert all('"tenant_id":"other"' in line for line in contents)
    result = await payments("ledger", "verify", own, "--json")
    assert json.loads(result.output) == {
        "holds": True, "rows": 4, "seals": 1, "unsealed": 0, "problems": [], "unreadable": None,
    }  # fmt: skip
    result = await payments("ledger", "verify", "--tenant", "other", "--known", own)
    assert result.exit_code == 0, result.output


async def test_an_export_can_be_piped(exported: Path) -> None:
    """To standard output, where nothing else is written."""
    result = await payments("ledger", "export")
    title, *lines = result.stdout_bytes.splitlines()
    assert b'"journal"' in title
    assert lines == exported.read_bytes().splitlines()[1:]


async def test_a_file_is_verified_whole(exported: Path) -> None:
    """To look at one tenant of it only would leave out what shows that rows are missing."""
    result = await payments("ledger", "verify", exported, "--tenant", "default")
    assert result.exit_code == 2
    assert "a file is verified whole" in result.output


async def test_verify_has_the_ledger_too(exported: Path) -> None:
    """`payments verify --ledger` is the same, for the database and for a file."""
    for where in ([], [exported]):
        result = await payments("verify", "--ledger", *where)
        assert result.exit_code == 0, result.output
        assert "8 rows in 2 seals are as they were sealed" in result.output
    result = await payments("verify", "--ledger", exported.with_name("nowhere"))
    assert (result.exit_code, "there is no file" in result.output) == (1, True)
