"""This tree against another revision of itself, in turn: ours, theirs, ours, theirs.

Machines differ by a factor of three from one day to the next, and by a third from one minute to the
next: only ratios of one run mean anything, and only with their spread. Each turn is a platform of
its own, driven over HTTP alone: first payments at a fixed rate, each measured from when it should
have been sent, then as many as 64 connections make; both times until nothing is owed any more.
pgbench making an accepted payment's writes, on our own server, says what the machine was worth.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter, time_ns
from typing import Final

import click

from bench import reference
from bench.figures import percentile
from bench.load import Load, Outcome, generated
from bench.processes import cpu_seconds, memory_mib
from bench.revisions import OURS, Platform, Revision, accounts, at_rest, checked_out, started
from bench.target import Target
from local.embedded.postgres import address
from local.home import Home
from local.program import CODE
from local.run_record import read_record
from store.pool import connect_single

RESULTS: Final = CODE / "bench" / "results"
_ACCOUNTS: Final = 100
_CONNECTIONS: Final = 64
_WARM_UP: Final = 200
_AT_REST_WITHIN_S: Final = 300.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How often, how long each load, and how many payments a second the first of them has."""

    rounds: int = 2
    seconds: float = 20.0
    rate: float = 200.0


@dataclass(frozen=True, slots=True)
class Turn:
    """One load on one platform; times in milliseconds, CPU time in microseconds a payment."""

    revision: str
    load: str
    accepted: int
    refused: int
    accepted_per_second: float
    ended_per_second: float
    answer_p50_ms: float
    answer_p99_ms: float
    # From when it should have been sent until its completion was decided; of a fixed rate alone.
    completed_p50_ms: float
    completed_p99_ms: float
    cpu_us: Mapping[str, float]
    # Of a core, while it sent: what the others did not have.
    generator_share: float

    @property
    def cpu_total_us(self) -> float:
        return sum(self.cpu_us.values())


@dataclass(frozen=True, slots=True)
class Run:
    """Of one platform: its Python processes' memory (PSS) after the loads, and its next start."""

    revision: str
    memory_mib: float
    second_start_s: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """All turns, in the order in which they were, and pgbench's rate after each of ours."""

    against: str
    plan: Plan
    turns: Sequence[Turn]
    runs: Sequence[Run]
    pgbench_per_second: Sequence[float]


async def compared(revision: str, plan: Plan) -> Comparison:
    """Ours and theirs in turn. Raises RuntimeError or StartError for a revision that cannot run."""
    turns: list[Turn] = []
    runs: list[Run] = []
    possible: list[float] = []
    with TemporaryDirectory(prefix="payments-against-") as name:
        folder = Path(name)
        # Older revisions' Postgres, which as root is another user's, reaches nothing below 0700.
        folder.chmod(0o755)  # noqa: ASYNC240 - one folder, before anything runs
        async with checked_out(revision, folder) as theirs:
            for number in range(plan.rounds):
                for one in (OURS, theirs):
                    click.echo(f"round {number + 1} of {plan.rounds}: {one.name} ...", err=True)
                    home = folder / f"{number}-{'ours' if one is OURS else 'theirs'}"
                    async with started(one, home) as platform:
                        turns += await _measured(one, platform, plan)
                        memory = memory_mib(platform.pid)
                        if one is OURS:
                            possible.append(await _possible(platform, plan.seconds))
                    began = perf_counter()
                    async with started(one, home):
                        runs.append(Run(one.name, memory, perf_counter() - began))
    return Comparison(revision, plan, turns, runs, possible)


async def _measured(revision: Revision, platform: Platform, plan: Plan) -> list[Turn]:
    among = await accounts(platform.url, _ACCOUNTS)
    warm_up = Load(platform.url, among, plan.seconds, _WARM_UP, connections=4)
    await generated(warm_up)
    await at_rest(platform.url, _AT_REST_WITHIN_S)
    loads = {
        f"at {plan.rate:.0f}/s": Load(
            platform.url, among, plan.seconds, rate=plan.rate, is_timed=True
        ),
        f"{_CONNECTIONS} connections": Load(
            platform.url, among, plan.seconds, connections=_CONNECTIONS
        ),
    }
    return [await _turn(revision, platform, name, load) for name, load in loads.items()]


async def _turn(revision: Revision, platform: Platform, name: str, load: Load) -> Turn:
    before, began = cpu_seconds(platform.pid), perf_counter()
    outcome = await generated(load)
    await at_rest(platform.url, _AT_REST_WITHIN_S)
    took_s, after = perf_counter() - began, cpu_seconds(platform.pid)
    accepted = max(1, outcome.accepted)
    ends = await _ends_ms(platform, outcome)
    return Turn(
        revision=revision.name,
        load=name,
        accepted=outcome.accepted,
        refused=_refused(outcome),
        accepted_per_second=outcome.accepted / outcome.seconds,
        ended_per_second=outcome.accepted / took_s,
        answer_p50_ms=outcome.answer_p50_ms,
        answer_p99_ms=outcome.answer_p99_ms,
        completed_p50_ms=percentile(ends, 0.5),
        completed_p99_ms=percentile(ends, 0.99),
        cpu_us={each: 1e6 * (after[each] - before.get(each, 0.0)) / accepted for each in after},
        generator_share=outcome.cpu_seconds / outcome.seconds,
    )


async def _ends_ms(platform: Platform, outcome: Outcome) -> list[float]:
    """How long each payment took whose time is known, the shortest first."""
    if not outcome.due_at:
        return []
    connection = await connect_single(address(platform.database_port), application_name="bench")
    try:
        rows = await connection.fetch(_COMPLETED_AT, list(outcome.due_at))
    finally:
        await connection.close()
    return sorted(1000 * (row["at"] - outcome.due_at[str(row["id"])]) for row in rows)


_COMPLETED_AT: Final = """
SELECT id, extract(epoch FROM completed_at)::float8 AS at FROM payments
WHERE id = any($1::uuid[]) AND completed_at IS NOT NULL
"""


def _refused(outcome: Outcome) -> int:
    return sum(outcome.statuses.values()) - outcome.accepted


async def _possible(platform: Platform, seconds: float) -> float:
    record = read_record(Home(platform.home))
    assert record is not None, "a run of ours has a record"
    return await reference.measure(Target(record), seconds)


def report(found: Comparison) -> str:
    """In words: each figure of both, as medians, and their ratio with its least and its most."""
    both = (OURS.name, found.against)
    lines = [f"here against {found.against}, {found.plan.rounds} rounds"]
    for load in dict.fromkeys(turn.load for turn in found.turns):
        mine, others = (_turns(found, load, name) for name in both)
        lines += ["", load, f"{'':<28}{'here':>10}{found.against[:10]:>11}{'ratio':>8}"]
        lines += [_line(name, mine, others) for name in _FIGURES]
        for process in _processes(mine, others):
            lines.append(_cpu_line(process, mine, others))
    ours, theirs = ([each for each in found.runs if each.revision == name] for name in both)
    lines += ["", "after the loads"]
    for name, figure in _OF_RUNS.items():
        lines.append(_compared_line(name, [*map(figure, ours)], [*map(figure, theirs)]))
    possible = ", ".join(f"{each:,.0f}" for each in found.pgbench_per_second)
    return "\n".join([*lines, "", f"pgbench, the same writes, after each of ours: {possible} /s"])


def _turns(found: Comparison, load: str, revision: str) -> list[Turn]:
    return [turn for turn in found.turns if (turn.load, turn.revision) == (load, revision)]


_FIGURES: Final[Mapping[str, Callable[[Turn], float]]] = {
    "accepted, /s": lambda turn: turn.accepted_per_second,
    "ended, /s": lambda turn: turn.ended_per_second,
    "POST answered, p50, ms": lambda turn: turn.answer_p50_ms,
    "POST answered, p99, ms": lambda turn: turn.answer_p99_ms,
    "POST to completed, p50, ms": lambda turn: turn.completed_p50_ms,
    "POST to completed, p99, ms": lambda turn: turn.completed_p99_ms,
    "not accepted": lambda turn: turn.refused,
    "generator's share of a core": lambda turn: turn.generator_share,
    "CPU of a payment, us": lambda turn: turn.cpu_total_us,
}

_OF_RUNS: Final[Mapping[str, Callable[[Run], float]]] = {
    "memory of ours (PSS), MiB": lambda run: run.memory_mib,
    "second start, s": lambda run: run.second_start_s,
}


def _line(name: str, ours: Sequence[Turn], theirs: Sequence[Turn]) -> str:
    figure = _FIGURES[name]
    return _compared_line(name, [figure(each) for each in ours], [figure(each) for each in theirs])


def _cpu_line(process: str, ours: Sequence[Turn], theirs: Sequence[Turn]) -> str:
    values = ([each.cpu_us.get(process, 0.0) for each in turns] for turns in (ours, theirs))
    return _compared_line(f"  {process}", *values)


def _processes(ours: Sequence[Turn], theirs: Sequence[Turn]) -> list[str]:
    """Of both, the dearest of ours first."""
    names = {name for turn in (*ours, *theirs) for name in turn.cpu_us}
    return sorted(names, key=lambda name: -median(turn.cpu_us.get(name, 0.0) for turn in ours))


def _compared_line(name: str, ours: Sequence[float], theirs: Sequence[float]) -> str:
    """Ratios are of turns that followed each other."""
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True) if other]
    line = f"{name:<28}{median(ours):>10,.1f}{median(theirs):>11,.1f}"
    if not ratios:
        return line
    return f"{line}{median(ratios):>8.2f}  ({min(ratios):.2f} to {max(ratios):.2f})"


def written(found: Comparison, folder: Path = RESULTS) -> Path:
    """All of it as JSON, in a file of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"against-{found.against.replace('/', '-')}-{time_ns() // 10**9}.json"
    path.write_text(json.dumps(asdict(found), indent=2))
    return path
