"""How our processes run Python: one kind of event loop, a patient collector, and room for sockets.

Reference counts free nearly all of what a message or a request leaves behind. The cycle
collector finds little, and looks at every object that is alive to do so: with its usual
thresholds it took a fifth of a busy stage's time.
"""

from __future__ import annotations

import asyncio
import gc
import resource
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeVar

import uvloop

if TYPE_CHECKING:
    from collections.abc import Coroutine

# Allocations between two looks at the youngest; a look then costs less than what it frees is
# worth, and cycles never hold more than a few MB.
_YOUNG: Final = 20_000
_MIDDLE: Final = 20
_OLD: Final = 50

# A shell's usual limit, 1,024 or 256, is less than the calls to one provider. The second is what
# macOS grants whatever it says.
_OPEN_FILES: Final = (65_536, 10_240)

ResultT = TypeVar("ResultT")


def run(main: Coroutine[object, object, ResultT]) -> ResultT:
    """Run a process's one coroutine to its end."""
    allow_open_files()
    # Modules and classes stay for good: nobody need look at them again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, _MIDDLE, _OLD)
    # Faust's consumer makes a loop of its own in a thread of its own.
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    return uvloop.run(main)


def allow_open_files() -> int:
    """As many as are useful and the hard limit allows; how many that is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return max(_OPEN_FILES)
    for wanted in _OPEN_FILES:
        allowed = max(soft, wanted if hard == resource.RLIM_INFINITY else min(wanted, hard))
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
            return allowed
    return soft
