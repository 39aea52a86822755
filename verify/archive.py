"""Reads an archive of history into the session that verifies: what was taken out counts again.

Each file is held against its manifest, each manifest against what the database says was archived.
Then the invariants of history are those of the payments whose history is here and there.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

from store.archive.files import ArchiveError, Part, is_whole, lines_of, manifests_in
from store.queries import bound, query
from verify.invariants import CheckResult, Violation

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from uuid import UUID

    from asyncpg import Record

    from store.archive.files import Manifest
    from verify.database import Connection

_PAGE: Final = 5_000
_EVENTS: Final = "payment_events"
_SOURCE: Final = "archive"
_INVARIANTS: Final = ("I8", "I11")


@dataclass(frozen=True, slots=True)
class Archived:
    """What the database says was archived, and what the folder has of it."""

    row: Record
    manifest: Manifest | None

    @property
    def problem(self) -> str | None:
        """What the two contradict each other in."""
        if self.manifest is None:
            return None
        told = (self.row["end_id"], self.row["payment_events"], self.row["attempts"])
        has = (
            self.manifest.end_id,
            self.manifest.rows_of(_EVENTS),
            self.manifest.rows_of("attempts"),
        )
        return None if told == has else f"is to have {told[1:]} rows, and has {has[1:]}"


async def read_archive(connection: Connection, directory: Path | None) -> list[CheckResult]:
    """Read what is archived, from this folder if there is one; what is wrong with it.

    What cannot be read is not checked, and said to be so. Raises what asyncpg raises.
    """
    rows = await connection.fetch(query("verify_archived"))
    if not rows:
        return []
    try:
        found = dict(_by_range(directory)) if directory else {}
    except ArchiveError as error:
        return [CheckResult(each, _SOURCE, unchecked=str(error)) for each in _INVARIANTS]
    archived = [Archived(row, found.get(row["first_id"])) for row in rows]
    violations: list[Violation] = []
    read: list[UUID] = []
    await connection.execute(query("verify_archive_open"))
    for each in archived:
        if each.manifest is None:
            continue
        problems = [each.problem] if each.problem else []
        assert directory is not None, "a manifest was found in it"
        problems += await _read(connection, directory, each.manifest)
        name = each.row["manifest"]
        violations += (Violation(f"archive {name}", problem) for problem in problems)
        if not problems:
            read.append(each.row["first_id"])
    await connection.execute(*bound("verify_archive_beside", first_ids=read))
    missing = [each.row["label"] for each in archived if each.manifest is None]
    return [
        CheckResult(_INVARIANTS[0], _SOURCE, len(read), tuple(violations)),
        *(_unread(invariant, missing, directory) for invariant in _INVARIANTS if missing),
    ]


def _by_range(directory: Path) -> Mapping[UUID, Manifest]:
    return {manifest.first_id: manifest for _, manifest in manifests_in(directory)}


async def _read(connection: Connection, directory: Path, manifest: Manifest) -> list[str]:
    """Nothing of a month whose files are not what they are to be."""
    broken = [part.file for part in manifest.parts if not is_whole(directory, part)]
    if broken:
        return [f"{file} is not what was archived" for file in broken]
    for part in manifest.parts:
        if part.table == _EVENTS:
            await _take(connection, directory, part)
    return []


async def _take(connection: Connection, directory: Path, part: Part) -> None:
    lines = lines_of(directory, part)
    while page := [*islice(lines, _PAGE)]:
        await connection.execute(*bound("verify_archive_read", lines=page))


def _unread(invariant: str, labels: list[str], directory: Path | None) -> CheckResult:
    """Nothing is wrong with an archive that nobody asked to read."""
    where = f"not in {directory}" if directory else "--archive FOLDER reads it"
    why = f"the history of {', '.join(labels)} is archived: {where}"
    return CheckResult(invariant, _SOURCE, unchecked=why, excused=directory is None)
