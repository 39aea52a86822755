"""The history of a range of payments as files: JSON lines in zstd, and a manifest of them.

    payment_events-2024-01.jsonl.zst   a row a line, by payment and version
    attempts-2024-01.jsonl.zst         a row a line, by payment and number
    history-2024-01.json               what is in them, written last: without it they are nothing

A file is on disk, whole and under its name, before anything says so.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Final, Literal
from uuid import UUID

import zstandard
from pydantic import BaseModel, ConfigDict, ValidationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

FORMAT: Final = "payments.history.v1"
_MANIFESTS: Final = "history-*.json"
_READ: Final = 1 << 20
# As small as it gets within a multiple of the time that Postgres takes to say it.
_LEVEL: Final = 10


class ArchiveError(ValueError):
    """Files that are not what their manifest says; which, and why."""


class Part(BaseModel):
    """One table's rows: `rows` lines, whose digest is of what was compressed."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    table: str
    file: str
    rows: int
    sha256: str


class Manifest(BaseModel):
    """What was archived of the payments from `first_id` on, up to and without `end_id`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["payments.history.v1"] = FORMAT
    first_id: UUID
    end_id: UUID
    parts: tuple[Part, ...]

    def rows_of(self, table: str) -> int:
        """How many lines its file has."""
        return sum(part.rows for part in self.parts if part.table == table)


class Digest:
    """Of lines, as they come: what a part says of them."""

    def __init__(self) -> None:
        self.rows = 0
        self._sha256 = hashlib.sha256()

    def take(self, line: str) -> bytes:
        """One more; the bytes of it."""
        written = f"{line}\n".encode()
        self._sha256.update(written)
        self.rows += 1
        return written

    def part(self, table: str, file: str) -> Part:
        """What was taken so far."""
        return Part(table=table, file=file, rows=self.rows, sha256=self._sha256.hexdigest())


async def write_part(path: Path, table: str, lines: AsyncIterator[str]) -> Part:
    """Write the lines and make sure of them; an earlier file of that name is replaced."""
    partial, digest = path.with_suffix(".partial"), Digest()
    with partial.open("wb") as file:
        with zstandard.ZstdCompressor(_LEVEL).stream_writer(file, closefd=False) as compressed:
            async for line in lines:
                compressed.write(digest.take(line))
        _sync(file.fileno())
    _take_place(partial, path)
    return digest.part(table, path.name)


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Say what is there, when all of it is."""
    partial = path.with_suffix(".partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(manifest.model_dump_json(indent=2) + "\n")
        file.flush()
        _sync(file.fileno())
    _take_place(partial, path)


def manifests_in(directory: Path) -> list[tuple[str, Manifest]]:
    """Each manifest by its name. Raises ArchiveError for one that is none."""
    found = []
    for path in sorted(directory.glob(_MANIFESTS)):
        try:
            found.append((path.name, Manifest.model_validate_json(path.read_bytes())))
        except ValidationError as error:
            raise ArchiveError(f"{path.name} is no manifest: {error.errors()[0]['msg']}") from error
    return found


def lines_of(directory: Path, part: Part) -> Iterator[str]:
    """The lines of a part. Raises ArchiveError at the end if they are not those it is to have."""
    path, digest = directory / part.file, Digest()
    try:
        for line in _decompressed(path):
            digest.take(line)
            yield line
    except (OSError, zstandard.ZstdError, UnicodeDecodeError) as error:
        raise ArchiveError(f"{part.file} cannot be read: {error}") from error
    if digest.part(part.table, part.file) != part:
        raise ArchiveError(f"{part.file} is not what was archived: {digest.rows} rows are there")


def is_whole(directory: Path, part: Part) -> bool:
    """Whether the file of a part can be read and is what it is to be."""
    try:
        return sum(1 for _ in lines_of(directory, part)) == part.rows
    except ArchiveError:
        return False


def _decompressed(path: Path) -> Iterator[str]:
    """Lines, without their ends."""
    rest = b""
    with path.open("rb") as file:
        for chunk in zstandard.ZstdDecompressor().read_to_iter(file, read_size=_READ):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield line.decode()
    if rest:
        yield rest.decode()


def _take_place(partial: Path, path: Path) -> None:
    partial.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        _sync(folder)
    finally:
        os.close(folder)


def _sync(file: int) -> None:
    os.fsync(file)
