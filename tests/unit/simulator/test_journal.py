"""The journal: durable before answered, whole after a cut, refused when damaged."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from simulator.journal import Journal, JournalError


@asynccontextmanager
async def writing(path: Path) -> AsyncIterator[Journal]:
    journal = Journal(path)
    journal.recover(lambda _: None)
    writer = asyncio.create_task(journal.run())
    try:
        yield journal
    finally:
        writer.cancel()
        with suppress(asyncio.CancelledError, JournalError):
            await writer
        journal.close()


def _refuse_rubbish(line: bytes) -> None:
    if not line.startswith(b"{"):
        raise ValueError("rubbish")


async def test_an_append_returns_when_its_line_is_on_disk(tmp_path: Path) -> None:
    """Every awaited line is in the file, in order, concurrent ones too."""
    path = tmp_path / "journal"
    async with writing(path) as journal:
        await asyncio.gather(*(journal.append(b'{"n":%d}\n' % n) for n in range(500)))
        lines = path.read_bytes().splitlines()
    assert lines == [b'{"n":%d}' % n for n in range(500)]


async def test_concurrent_appends_share_a_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand lines at once cost a few syncs, not a thousand."""
    syncs = 0
    fdatasync = os.fdatasync

    def counted(descriptor: int) -> None:
        nonlocal syncs
        syncs += 1
        fdatasync(descriptor)

    monkeypatch.setattr(os, "fdatasync", counted)
    async with writing(tmp_path / "journal") as journal:
        await asyncio.gather(*(journal.append(b"{}\n") for _ in range(1000)))
    assert 1 <= syncs <= 10


async def test_nothing_is_answered_when_the_disk_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed sync fails the append, and the writer with it."""

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fdatasync", full)
    async with writing(tmp_path / "journal") as journal:
        with pytest.raises(JournalError, match="No space left"):
            await journal.append(b"{}\n")


@pytest.mark.parametrize(
    ("tail", "torn_bytes"),
    [(b"", 0), (b'{"cut', 5), (b"{}", 2), (b"rubbish\n", 8)],
)
def test_a_torn_tail_is_cut_off(tmp_path: Path, tail: bytes, torn_bytes: int) -> None:
    """A last line without its end, or unreadable, was never answered."""
    path = tmp_path / "journal"
    path.write_bytes(b"{}\n{}\n" + tail)
    journal = Journal(path)
    recovery = journal.recover(_refuse_rubbish)
    journal.close()
    assert (recovery.lines, recovery.torn_bytes) == (2, torn_bytes)
    assert path.read_bytes() == b"{}\n{}\n"


def test_damage_in_the_middle_is_refused_and_left_alone(tmp_path: Path) -> None:
    """A line that was answered must not disappear silently."""
    path = tmp_path / "journal"
    path.write_bytes(b"{}\nrubbish\n{}\n")
    journal = Journal(path)
    with pytest.raises(JournalError, match="line 2: rubbish"):
        journal.recover(_refuse_rubbish)
    journal.close()
    assert path.read_bytes() == b"{}\nrubbish\n{}\n"


def test_a_journal_has_one_writer(tmp_path: Path) -> None:
    """A second writer is refused while the first is there."""
    first = Journal(tmp_path / "journal")
    with pytest.raises(JournalError, match="another simulator"):
        Journal(tmp_path / "journal")
    first.close()
    Journal(tmp_path / "journal").close()
