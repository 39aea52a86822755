"""`python -m bench`: start a platform of its own, measure everything, verify it, end it."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final, TypeAlias

import click
import psutil

from bench import (
    accepted,
    against,
    at_rest,
    backlog,
    completed,
    console,
    drain,
    feed,
    growth,
    ingress,
    isolation,
    latency,
    memory,
    neighbours,
    relay,
    stage,
    webhooks,
)
from bench.target import started
from local.program import CODE, StartError

if TYPE_CHECKING:
    from bench.figures import Figure
    from bench.target import Target

_Benchmark: TypeAlias = Callable[["Target", float], Awaitable[list["Figure"]]]
# Light before heavy: what comes first finds short tables and an idle machine.
_BENCHMARKS: Final[Mapping[str, _Benchmark]] = {
    "latency": latency.measure,
    "isolation": isolation.measure,
    "neighbours": neighbours.measure,
    "feed": feed.measure,
    "webhooks": webhooks.measure,
    "stage": stage.measure,
    "completed": completed.measure,
    "accepted": accepted.measure,
    "ingress": ingress.measure,
    "memory": memory.measure,
    "at_rest": at_rest.measure,
    "relay": relay.measure,
    "backlog": backlog.measure,
    "growth": growth.measure,
    "console": console.measure,
}


@click.command()
@click.option("--seconds", default=20.0, show_default=True, help="How long each one sends.")
@click.option("--only", type=click.Choice([*_BENCHMARKS]), multiple=True, help="Not all of them.")
@click.option(
    "--rows", default=growth.ROWS, show_default=True, help="Payments in the database that grows."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--no-verify", is_flag=True, help="Leave out `payments verify` at the end.")
@click.option("--against", "revision", help="Instead: compare with this revision, in turn.")
@click.option("--drain-against", help="Instead: a backlog's way to Kafka, with this revision's.")
@click.option(
    "--backlog",
    "rows_waiting",
    default=200_000,
    show_default=True,
    help="Rows, with --drain-against.",
)
@click.option("--rounds", default=2, show_default=True, help="How often, with either.")
@click.option("--rate", default=200.0, show_default=True, help="Payments/s, with --against.")
def main(  # noqa: PLR0913 - each is an option of the command
    *,
    seconds: float,
    only: tuple[str, ...],
    rows: int,
    as_json: bool,
    no_verify: bool,
    revision: str | None,
    drain_against: str | None,
    rows_waiting: int,
    rounds: int,
    rate: float,
) -> None:
    """Measure the whole platform; what it says is as good as the machine is idle."""
    # Told to stop, it ends the platform it started, as after Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if revision is not None:
        _compare(revision, against.Plan(rounds, seconds, rate), as_json=as_json)
        return
    if drain_against is not None:
        _drain(drain_against, rows_waiting, rounds)
        return
    load = psutil.getloadavg()[0]
    if load > 0.5:
        click.echo(
            f"This machine is busy (load {load:.1f}): the figures will be too low.", err=True
        )
    try:
        benchmarks = {name: _BENCHMARKS[name] for name in only or _BENCHMARKS}
        for name, measure in (("growth", growth.measure), ("console", console.measure)):
            if name in benchmarks:
                benchmarks[name] = partial(measure, rows=rows)
        found, sound = asyncio.run(_run(benchmarks, seconds, verify=not no_verify))
    except StartError as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        figures = [asdict(each) for each in found]
        click.echo(json.dumps({"machine": _machine(), "sound": sound, "figures": figures}))
    else:
        click.echo("\n".join([_machine(), "", *map(str, found)]))
    sys.exit(0 if sound else 1)


def _compare(revision: str, plan: against.Plan, *, as_json: bool) -> None:
    try:
        found = asyncio.run(against.compared(revision, plan))
    except (RuntimeError, StartError) as error:
        raise click.ClickException(str(error)) from error
    path = against.written(found)
    click.echo(path.read_text() if as_json else f"{_machine()}\n\n{against.report(found)}")
    click.echo(f"also in {path}", err=True)


def _drain(revision: str, rows: int, rounds: int) -> None:
    try:
        found = asyncio.run(drain.compared(revision, rows=rows, rounds=rounds))
    except (RuntimeError, StartError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{_machine()}\n\n{drain.report(found)}")


async def _run(
    benchmarks: Mapping[str, _Benchmark], seconds: float, *, verify: bool
) -> tuple[list[Figure], bool]:
    theirs = {name: value for name, value in os.environ.items() if not name.startswith("PAYMENTS_")}
    theirs["PAYMENTS_ENV_FILE"] = ""
    found: list[Figure] = []
    with TemporaryDirectory(prefix="payments-bench-") as folder:
        async with started(Path(folder), theirs) as target:
            for name, measure in benchmarks.items():
                click.echo(f"measuring {name} ...", err=True)
                found += await measure(target, seconds)
            sound = not verify or await _is_sound(target)
    return found, sound


async def _is_sound(target: Target) -> bool:
    """Speed that loses or doubles something is no speed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli", "verify", "--wait", "120"),
        cwd=CODE,
        env={**os.environ, **target.record.environment},
        stdout=sys.stderr,
    )
    return await process.wait() == 0


def _machine() -> str:
    memory_gib = psutil.virtual_memory().total / 2**30
    return (
        f"{psutil.cpu_count()} cores, {memory_gib:.0f} GiB, {platform.system()}"
        f" {platform.release()}, Python {platform.python_version()}"
    )


if __name__ == "__main__":
    main(prog_name="python -m bench")
