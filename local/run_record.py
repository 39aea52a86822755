"""The record of a run: what `payments run` writes at every change and `payments status` reads.

It also carries the `PAYMENTS_*` variables of the embedded servers, so that the other commands
find them without being told. What the run itself was told is asked of the kernel, so that the
password of a real server is in no file of ours.
"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

import psutil
from pydantic import BaseModel, ConfigDict, ValidationError

from local.home import Home, write_atomically
from local.supervisor import ProcessState, ProcessStatus

# The kernel counts a process's start in hundredths of a second from a boot time it rounds.
_CLOCK_TOLERANCE_SECONDS: Final = 1.0
# The kinds of variables that lead to servers.
_SERVERS: Final = {("PAYMENTS", name) for name in ("DATABASE", "REDIS", "KAFKA")}


class Addresses(BaseModel):
    """Where the servers are, embedded or not."""

    model_config = ConfigDict(frozen=True)

    ingress: str
    database: str
    redis: str
    kafka: str
    simulator: str


class Failover(BaseModel):
    """What came of the last one that was asked for: why nothing, or no error."""

    model_config = ConfigDict(frozen=True)

    number: int
    error: str | None = None


class RunRecord(BaseModel):
    """A run: its own pid, what it connects, and every process.

    `primary` is the process that takes the database's writes, where there are two.
    """

    model_config = ConfigDict(frozen=True)

    pid: int
    started_at: datetime
    addresses: Addresses
    environment: dict[str, str]
    processes: tuple[ProcessStatus, ...]
    primary: str | None = None
    failover: Failover | None = None


def read_record(home: Home) -> RunRecord | None:
    """The last run's record; None when there was none or it cannot be understood."""
    try:
        return RunRecord.model_validate_json(home.record.read_text())
    except (FileNotFoundError, ValidationError):
        return None


def write_record(home: Home, record: RunRecord) -> None:
    write_atomically(home.record, record.model_dump_json(indent=2))


def is_running(record: RunRecord) -> bool:
    """Whether the run that wrote this still goes on."""
    return _lives(record.pid, record.started_at)


def is_alive(process: ProcessStatus) -> bool:
    """Whether the recorded process still runs."""
    return process.pid is not None and _lives(process.pid, process.since)


def left_behind(record: RunRecord) -> list[ProcessStatus]:
    """What goes on though the run that started it was killed; nobody looks after it any more."""
    return [] if is_running(record) else [one for one in record.processes if is_alive(one)]


def looked_at(record: RunRecord) -> RunRecord:
    """The record with what died since it was written shown as stopped."""
    processes = tuple(one if is_alive(one) else _ended(one) for one in record.processes)
    return record.model_copy(update={"processes": processes})


def _ended(process: ProcessStatus) -> ProcessStatus:
    is_waiting = process.state is ProcessState.BACKOFF
    return replace(
        process, pid=None, state=ProcessState.BACKOFF if is_waiting else ProcessState.STOPPED
    )


def _lives(pid: int, since: datetime) -> bool:
    """Whether this pid runs and has not been given to another process since."""
    try:
        found = psutil.Process(pid)
        is_same = found.create_time() <= since.timestamp() + _CLOCK_TOLERANCE_SECONDS
        return is_same and found.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def variables_of_run(environment: Mapping[str, str]) -> dict[str, str]:
    """Variables by which a command reaches what runs here, where none of their kind is set."""
    record = read_record(Home.of(environment))
    if record is None or not (is_running(record) or left_behind(record)):
        return {}
    taken = {_section(name) for name in environment}
    told = _told(record.pid) if is_running(record) else {}
    known = {name: value for name, value in told.items() if _section(name) in _SERVERS}
    return {
        name: value
        for name, value in (known | record.environment).items()
        if _section(name) not in taken
    }


def _told(pid: int) -> dict[str, str]:
    """The environment a process was started with; nothing when it is another user's, or gone."""
    try:
        return psutil.Process(pid).environ()
    except psutil.Error:
        return {}


def _section(variable: str) -> tuple[str, ...]:
    return tuple(variable.split("_")[:2])


def end_leftovers(left: Sequence[ProcessStatus], *, within_seconds: float) -> None:
    """End what a killed run left running, servers last, so that ports and data are free."""
    for of_servers in (False, True):
        group = [one for one in left if one.stop_group.is_of_servers is of_servers]
        _end(group, within_seconds)


def _end(processes: Sequence[ProcessStatus], within_seconds: float) -> None:
    signalled = []
    for one in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(one.pid)
            process.send_signal(one.stop_signal)
            signalled.append(process)
    _, stubborn = psutil.wait_procs(signalled, timeout=within_seconds)
    for process in stubborn:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(stubborn, timeout=within_seconds)
