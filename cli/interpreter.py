"""How our processes run Python: one event loop kind in every thread, and a patient collector.

Reference counts free nearly all of what a message or a request leaves behind. The cycle
collector finds little, and looks at every object that is alive to do so: with its usual
thresholds it took a fifth of a busy stage's time.
"""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Final, TypeVar

import uvloop

if TYPE_CHECKING:
    from collections.abc import Coroutine

# Allocations between two looks at the youngest; a look then costs less than what it frees is
# worth, and cycles never hold more than a few MB.
_YOUNG: Final = 20_000
_MIDDLE: Final = 20
_OLD: Final = 50

ResultT = TypeVar("ResultT")


def run(main: Coroutine[object, object, ResultT]) -> ResultT:
    """Run a process's one coroutine to its end."""
    # Modules and classes stay for good: nobody need look at them again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, _MIDDLE, _OLD)
    # Faust's consumer makes a loop of its own in a thread of its own.
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    return uvloop.run(main)
