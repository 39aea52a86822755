"""A limit for every test: one that hangs is ended red, with where it hung, and the next begins.

pytest-timeout has it from pyproject.toml; what takes minutes has hours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence

# The longest, an hour of traffic, twice.
_LONG_S: Final = 7_200


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("long") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(_LONG_S))
