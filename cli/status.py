"""`payments status`: what `payments run` runs here, each pid looked at before it is believed."""

import json
import os
import sys
from collections.abc import Sequence
from typing import Final

import click

from local.home import Home
from local.run_record import RunRecord, is_running, left_behind, looked_at, read_record
from local.supervisor import ProcessState, ProcessStatus

_EXIT_NOT_ALL_READY: Final = 1
_EXIT_NOT_RUNNING: Final = 3  # what an init script's `status` answers


@click.command("status")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def status(*, as_json: bool) -> None:
    """Show what `payments run` runs in this folder, and where.

    Exits 0 when everything is ready, 1 when something is not or nobody looks after what runs, 3
    when nothing runs here.
    """
    home = Home.of(os.environ)
    record = read_record(home)
    running = record is not None and is_running(record)
    left = [] if record is None else [one.name for one in left_behind(record)]
    if record is not None:
        record = looked_at(record)
    if as_json:
        body = {} if record is None else record.model_dump(mode="json")
        click.echo(json.dumps({"running": running, "left_behind": left, **body}, indent=2))
    elif record is None or not (running or left):
        click.echo(f"Nothing runs in {home.directory}: start it with `payments run`.")
    else:
        click.echo(table(record))
        if left:
            click.echo(f"\n{_orphaned(record, left)}")
    sys.exit(_exit_code(record if running or left else None, are_looked_after=running))


def _orphaned(record: RunRecord, left: Sequence[str]) -> str:
    return (
        f"`payments run` (process {record.pid}) was killed, and nobody looks after what it left"
        f" running: {', '.join(left)}. Payments go on, but what dies stays dead. `payments run`"
        " drains and ends all of it, and starts anew."
    )


def _exit_code(record: RunRecord | None, *, are_looked_after: bool) -> int:
    if record is None:
        return _EXIT_NOT_RUNNING
    if not are_looked_after:
        return _EXIT_NOT_ALL_READY
    are_ready = all(one.state is ProcessState.READY for one in record.processes)
    return 0 if are_ready else _EXIT_NOT_ALL_READY


def table(record: RunRecord) -> str:
    """Every process and every address, for a terminal."""
    rows = [("process", "state", "pid", "restarts", "address")]
    rows += [
        (one.name, one.state, str(one.pid or "-"), str(one.restarts), _place(one, record))
        for one in record.processes
    ]
    addresses = record.addresses
    places = [
        ("API", addresses.ingress),
        ("console", f"{addresses.ingress}/console"),
        ("database", addresses.database),
        ("Redis", addresses.redis),
        ("Kafka", addresses.kafka),
        ("simulator", addresses.simulator),
    ]
    return "\n".join([*_aligned(rows), "", *_aligned(places)])


def _place(process: ProcessStatus, record: RunRecord) -> str:
    """Its address, and of two databases which takes the writes."""
    return f"{process.address}, primary" if process.name == record.primary else process.address


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [
        "  "
        + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
