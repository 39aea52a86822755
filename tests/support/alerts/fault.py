"""A fault as the tests of the alerts have it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from tests.support.alerts.place import Place


@dataclass(frozen=True, slots=True)
class Fault:
    """It is so while `broken` is open, and then these alerts are true, and not before.

    `is_slow`: it takes many seconds, or is shown elsewhere, too, and is left to the long tests.
    """

    broken: Callable[[Place], AbstractAsyncContextManager[None]]
    alerts: tuple[str, ...]
    is_slow: bool = False
