"""The machine's environment without what would decide a test: `PAYMENTS_*`, and a `.env` file."""

import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Final

from local.embedded import jars

# Read no file, whichever a developer has in this folder.
NO_ENV_FILE = {"PAYMENTS_ENV_FILE": ""}


# Linux's folder in memory, and what all the databases and logs of a run may need there.
_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - whoever is told makes a folder of its own in it
_MEMORY_BYTES_MIN: Final = 6 * 1024**3


def settle() -> None:
    """For this process and all that it starts: no file of settings, and no work for nothing.

    Tests start hundreds of interpreters; each would compile every module anew where bytecode is
    not wanted. They make and drop a thousand databases; none of them need reach a disk.
    """
    os.environ.update(NO_ENV_FILE)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    # A job in the background is deaf to it, and so would be what a test interrupts.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if (memory := roomy_memory()) is not None:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(memory))


def roomy_memory() -> Path | None:
    """A folder in memory, if there is room and programs may run from there: tests install some."""
    if not os.access(_MEMORY, os.W_OK) or os.statvfs(_MEMORY).f_flag & os.ST_NOEXEC:
        return None
    return _MEMORY if shutil.disk_usage(_MEMORY).free > _MEMORY_BYTES_MIN else None


def bare() -> dict[str, str]:
    """For processes whose variables a test sets all itself; where jars are is the machine's."""
    others = {
        name: text
        for name, text in os.environ.items()
        if not name.startswith("PAYMENTS_") or name in jars.VARIABLES
    }
    return others | NO_ENV_FILE
