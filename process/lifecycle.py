"""How a stage's process ends: in time, whatever its libraries make of the request.

By then everything of ours is recorded. But Faust's supervisors swallow a cancellation, its
consumer thread is no daemon, and to stop that thread mode lets the event loop stand still:
a SIGTERM that meets a start or a rebalance can so leave a process that never ends.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import NoReturn


def leave(code: int) -> NoReturn:
    """End the process without waiting for anybody's thread."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def leave_within(seconds: float) -> None:
    """End the process with 1 after so many seconds, even if the event loop stands still.

    What was in flight is then not recorded: its leases run out, and it is asked after.
    """
    deadline = threading.Timer(seconds, leave, (1,))
    deadline.daemon = True
    deadline.start()
