"""Memory of all our processes, each by itself and together, as they stand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import psutil

from bench.figures import Figure

if TYPE_CHECKING:
    from bench.target import Target

_MIB: Final = 2**20


async def measure(target: Target, seconds: float) -> list[Figure]:  # noqa: ARG001 - a benchmark like the others
    """RSS counts shared pages in every process that has them: an upper bound."""
    ours = {
        each.name: psutil.Process(each.pid).memory_info().rss / _MIB
        for each in target.record.processes
        if each.pid is not None and not each.stop_group.is_of_servers
    }
    return [
        Figure("memory of all our processes", sum(ours.values()), "MiB", f"{len(ours)} processes"),
        *(Figure(f"memory of {name}", rss, "MiB") for name, rss in sorted(ours.items())),
    ]
