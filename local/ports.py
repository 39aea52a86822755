"""Ports that others have: who it is, and which are free behind them."""

import fcntl
import os
import tempfile
from pathlib import Path
from typing import Final

import psutil

from local.program import free_port, is_free

# Whoever looks for a port by hand looks so far.
_PORTS_TRIED: Final = 100
# By port, a file that is open for as long as this process lives.
_CLAIMS: Final[dict[int, int]] = {}


def next_free(port: int, host: str) -> int:
    """The first free port from this one on that nobody else is about to use."""
    for candidate in range(port, min(port + _PORTS_TRIED, 65_536)):
        if is_free(candidate, host) and claim(candidate):
            return candidate
    return free_port(host)


def claim(port: int) -> bool:
    """Whether the port is this process's to give away, until it ends.

    A server takes seconds to listen: a run that looked for a free port meanwhile would find the
    same one, and then take the first one's server for its own.
    """
    if port in _CLAIMS:
        return True
    folder = Path(tempfile.gettempdir(), f"payments-ports-{os.getuid()}")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        file = os.open(folder / str(port), os.O_CREAT | os.O_RDWR, 0o600)
    except OSError:  # somebody else's: then it is as if nobody claimed any
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return False
    _CLAIMS[port] = file
    return True


def taken(port: int) -> str:
    """That a port is taken, and by whom, where the system tells us."""
    pid = _listener(port)
    if pid is None:
        return "the port is taken"
    return f"the port is taken by {_name(pid)} (process {pid})"


def has(pid: int, port: int) -> bool:
    """Whether a process of ours, or a child of it, listens there; True where nobody may ask."""
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
        return any(_listens(each, port) for each in family)
    except psutil.AccessDenied:
        return True
    except psutil.NoSuchProcess:
        return False


def _listens(process: psutil.Process, port: int) -> bool:
    return any(_is_at(one.status, one.laddr, port) for one in process.net_connections("tcp"))


def _listener(port: int) -> int | None:
    try:
        everybody = psutil.net_connections("tcp")
    except psutil.Error:  # only root may ask, as on macOS
        return None
    found = (one.pid for one in everybody if _is_at(one.status, one.laddr, port))
    return next((pid for pid in found if pid is not None), None)


def _is_at(status: str, address: object, port: int) -> bool:
    return status == psutil.CONN_LISTEN and getattr(address, "port", None) == port


def _name(pid: int) -> str:
    try:
        return psutil.Process(pid).name()
    except psutil.Error:
        return "somebody"
