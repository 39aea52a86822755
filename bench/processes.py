"""What the processes of a platform cost: CPU time by process, memory, as the kernel counts it.

Whoever started them, and whichever revision they are of: they are found as the children of the
run, and named by what they were told to be.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import PurePath
from typing import Final

import psutil

# What others are forked from.
_FORK_SERVER: Final = "local.fork_server"


def cpu_seconds(pid: int) -> dict[str, float]:
    """What a run, and each of its children with all of theirs, has used so far, by name."""
    run = psutil.Process(pid)
    used = {"the supervisor": _own_seconds(run)}
    families = run.children()
    for child in families:  # and what is added to them
        with suppress(psutil.NoSuchProcess):
            name = name_of(_words(child))
            if name.startswith(_FORK_SERVER):
                used[_FORK_SERVER] = _own_seconds(child) + _ended_seconds(child)
                families += child.children()
            else:
                used[name] = used.get(name, 0.0) + family_seconds(child)
    return used


def family_seconds(parent: psutil.Process) -> float:
    """Of a process and its children, those included that have ended and were waited for."""
    used = 0.0
    for each in [parent, *parent.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            used += _own_seconds(each) + _ended_seconds(each)
    return used


def memory_mib(pid: int) -> float:
    """PSS of a run and all of its processes that are Python: pages that are shared count once."""
    run = psutil.Process(pid)
    used = 0
    for each in [run, *run.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            if "-m" in _words(each):
                used += each.memory_full_info().pss
    return used / 2**20


def _own_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _ended_seconds(process: psutil.Process) -> float:
    """Of its children that have ended and were waited for."""
    times = process.cpu_times()
    return times.children_user + times.children_system


def _words(process: psutil.Process) -> list[str]:
    """Its command; where a process says itself what it is, it says so in one line."""
    return [word for part in process.cmdline() for word in part.split()]


def name_of(command: list[str]) -> str:
    """`agents charge` of `python -m agents charge --member local`, else the program's own name."""
    if "-m" not in command:
        # Valkey writes its address behind its name.
        return PurePath(command[0]).name.partition(" ")[0] if command else "unknown"
    module, *arguments = command[command.index("-m") + 1 :]
    what = next((each for each in arguments if not each.startswith("-")), "")
    return f"{module} {what}".strip()
