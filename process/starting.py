"""What holds from a process's first instruction on: its `__main__` imports this before all else.

The import is its own effect, because a second goes by with other imports before anybody can call
anything. Told to stop until then, a process has begun nothing: it ends at once, quietly, with 0.
`lifecycle` takes the signals over once the event loop runs.

A standard stream that was closed is opened on nothing, so that no socket of ours gets its number:
whoever writes to stderr would write to the database, and libuv aborts when it closes such a one.
"""

import os
import signal
from types import FrameType
from typing import Final

# What a terminal, a person and a supervisor send to ask for an end.
SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def _end_quietly(_number: int, _frame: FrameType | None) -> None:
    os._exit(0)


def _open_closed_streams() -> None:
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # The lowest number that is free, which is this one.
            os.open(os.devnull, os.O_RDWR)


_open_closed_streams()
for each in SIGNALS:
    # Under nohup it is no matter that the terminal closes.
    if signal.getsignal(each) is not signal.SIG_IGN:
        signal.signal(each, _end_quietly)
