"""An exported journal: JSON lines that say what they are, rows and seals in order, and an end.

    {"journal": {"format": "payments.journal.v1", "tenant_id": null, "exported_at": "..."}}
    {"row": {...}}
    {"seal": {...}}
    {"end": {"rows": 1, "seals": 1, "sealed_up_to": "..."}}

The fields of rows and seals are those of `payments.journal.seals`, so a file can be verified
without the database it came from. A file without its end is the beginning of one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final
from uuid import UUID

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from payments.journal.seals import FORMAT, JournalRow, Seal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

    from payments.journal.audit import JournalItem


class JournalFileError(ValueError):
    """A file that is no journal, or not a whole one; says which line, and why."""


@dataclass(frozen=True, slots=True)
class Title:
    """The first line: what the file is, and whose (null: all tenants')."""

    format: str
    tenant_id: str | None
    exported_at: datetime


@dataclass(frozen=True, slots=True)
class End:
    """The last line: how much came before, and the last row that was sealed in the database."""

    rows: int
    seals: int
    sealed_up_to: UUID | None


class _Line(BaseModel):
    """One line; it has one of these."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    journal: Title | None = None
    row: JournalRow | None = None
    seal: Seal | None = None
    end: End | None = None


_TITLE_MISSING: Final = "line 1: a journal begins by saying so"


async def lines_of(
    title: Title, items: AsyncIterator[JournalItem], sealed_up_to: UUID | None
) -> AsyncIterator[bytes]:
    """The file's lines."""
    rows = seals = 0
    yield _line("journal", title)
    async for item in items:
        if isinstance(item, JournalRow):
            rows += 1
            yield _line("row", item)
        else:
            seals += 1
            yield _line("seal", item)
    yield _line("end", End(rows, seals, sealed_up_to))


def _line(kind: str, content: Title | JournalItem | End) -> bytes:
    # asyncpg's ids are of a class of its own, which orjson does not know.
    return orjson.dumps({kind: content}, default=str, option=orjson.OPT_APPEND_NEWLINE)


class JournalFile:
    """A file's rows and seals, once; `sealed_up_to` is known when they have been read.

    Iterating raises JournalFileError; a wrong number of lines is told after the last of them.
    """

    def __init__(self, lines: Iterable[bytes]) -> None:
        self._lines = lines
        self.sealed_up_to: UUID | None = None

    def __iter__(self) -> Iterator[JournalItem]:
        rows = seals = 0
        lines = self._parsed()
        _require_title(next(lines, _Line()))
        for line in lines:
            if line.row:
                rows += 1
                yield line.row
            elif line.seal:
                seals += 1
                yield line.seal
            else:
                self.sealed_up_to = _require_end(line, next(lines, None), rows, seals)
                return
        raise JournalFileError("the file has no end: a part of it is missing")

    def _parsed(self) -> Iterator[_Line]:
        for number, line in enumerate(self._lines, start=1):
            try:
                yield _Line.model_validate_json(line)
            except ValidationError as error:
                why = error.errors()[0]["msg"]
                raise JournalFileError(f"line {number}: {why}") from error


def _require_title(line: _Line) -> None:
    if line.journal is None:
        raise JournalFileError(_TITLE_MISSING)
    if line.journal.format != FORMAT:
        raise JournalFileError(f"line 1: {line.journal.format} is not {FORMAT}")


def _require_end(line: _Line, after: _Line | None, rows: int, seals: int) -> UUID | None:
    if line.end is None:
        raise JournalFileError("there is a line that is neither a row, nor a seal, nor the end")
    if after is not None:
        raise JournalFileError("something comes after the end")
    if (line.end.rows, line.end.seals) != (rows, seals):
        raise JournalFileError(
            f"the end counts {line.end.rows} rows and {line.end.seals} seals,"
            f" and there are {rows} and {seals}"
        )
    return line.end.sealed_up_to


def newest_seals(journal: JournalFile) -> dict[str, Seal]:
    """The last seal of each tenant. Raises JournalFileError."""
    return {item.tenant_id: item for item in journal if isinstance(item, Seal)}
