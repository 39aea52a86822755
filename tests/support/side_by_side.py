"""Tests side by side: how many workers there are, what goes to one of them, and in which order.

A worker of pytest-xdist is a session: it has servers, ports and folders of its own, so that tests
of two workers share nothing but the machine. A file goes to one worker as a whole, and so do the
files that share what is slow to start. Without workers (`-n0`) nothing here has any effect.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pytest
from xdist.scheduler import LoadScopeScheduling

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from xdist.remote import Producer
    from xdist.workermanage import WorkerController

# With its servers and processes a worker takes a gigabyte.
_WORKERS_MAX: Final = 8
# What to sort a test by.
Place = tuple[int, int, str, str]
# What takes a moment fills the gaps at the end.
_LAST: Final = ("tests/project/", "tests/unit/")


@dataclass(frozen=True, slots=True)
class Household:
    """Files of a folder whose tests share a fixture that starts a dozen processes."""

    fixture: str
    folder: str
    names: tuple[str, ...]

    @property
    def files(self) -> frozenset[str]:
        return frozenset(f"{self.folder}{name}.py" for name in self.names)

    def misses(self, nodeid: str, fixtures: Collection[str]) -> bool:
        """Whether a test with these fixtures would start one more of it."""
        file = _file(nodeid)
        return self.fixture in fixtures and file.startswith(self.folder) and file not in self.files


HOUSEHOLDS: Final = (
    Household(
        "installation",
        "tests/acceptance/",
        (
            *("test_bench", "test_console", "test_faults", "test_feed", "test_kills"),
            *("test_payments", "test_quick_start", "test_restarts", "test_soundness"),
            "test_topics",
        ),
    ),
    Household(
        "platform",
        "tests/integration/agents/",
        (
            *("test_faults", "test_fleet", "test_lacks", "test_open_files", "test_read_only"),
            *("consumer/test_delivery", "consumer/test_leaving", "consumer/test_membership"),
            *("deliver/test_process", "provider_work/test_crash_points"),
        ),
    ),
)
_HOUSEHOLD_OF: Final = {file: each.folder for each in HOUSEHOLDS for file in each.files}


class ByFile(LoadScopeScheduling):  # type: ignore[misc]  # it has no types
    """What stays together goes, in the order of the collection, to whichever worker is free."""

    def __init__(self, config: pytest.Config, log: Producer | None = None) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        return unit(nodeid)

    def remove_node(self, node: WorkerController) -> str | None:
        """What a dead worker was at is not given to the next one, which would die of it, too."""
        for work in self.assigned_work[node].values():
            for name, is_over in work.items():
                if not is_over:
                    work[name] = True
                    super().remove_node(node)
                    return str(name)
        super().remove_node(node)
        return None


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile:
    return ByFile(config, log)


def pytest_xdist_auto_num_workers() -> int:
    """What `-n auto` stands for: each starts a dozen processes, so that a core is full with one."""
    return min(os.cpu_count() or 1, _WORKERS_MAX)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In a worker: nobody starts for itself what others share, and the long ones come first."""
    if not hasattr(config, "workerinput"):
        return
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        for household in HOUSEHOLDS:
            if household.misses(item.nodeid, fixtures):
                raise pytest.UsageError(f"{item.nodeid} belongs to {household}")
    place = places([item.nodeid for item in items])
    items.sort(key=lambda item: place(item.nodeid))


def places(nodeids: Sequence[str]) -> Callable[[str], Place]:
    """Where in the order each of them stands, as a key to sort by.

    A household takes minutes, and so it begins first; then files by the number of their tests,
    whereby not all that start a platform do so at once.
    """
    sizes = Counter(map(unit, nodeids))

    def place(nodeid: str) -> Place:
        file, own = _file(nodeid), unit(nodeid)
        last = next((at for at, folder in enumerate(_LAST) if file.startswith(folder)), -1)
        return (-2 if own != file else last), -sizes[own], own, file

    return place


def unit(nodeid: str) -> str:
    """What goes to one worker: a file, or a household's folder."""
    file = _file(nodeid)
    return _HOUSEHOLD_OF.get(file, file)


def _file(nodeid: str) -> str:
    return nodeid.partition("::")[0]
