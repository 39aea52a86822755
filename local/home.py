"""The folder in which `payments run` keeps its data, logs, lock and the record of what runs.

One run at a time owns it: the lock is the operating system's, so that a killed run frees it.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from local.ports import claim
from local.program import StartError, free_port, is_free

# The log of one run of a busy process; older lines have been read by then, or never will be.
LOG_BYTES_MAX: Final = 32 * 1024 * 1024
# Postgres needs 100 MB to begin with and a little to live on.
_DISK_BYTES_MIN: Final = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Home:
    """The folder, `.payments` in the working directory unless `PAYMENTS_HOME` names another."""

    directory: Path

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Home":
        return cls(Path(environment.get("PAYMENTS_HOME") or ".payments").absolute())

    @property
    def record(self) -> Path:
        return self.directory / "run.json"

    def data(self, name: str) -> Path:
        return self.directory / name

    def log(self, name: str) -> Path:
        return self.directory / "logs" / f"{name}.log"

    def prepare(self) -> None:
        """Make the folders; `StartError` when they cannot be made or the disk is full."""
        try:
            (self.directory / "logs").mkdir(parents=True, exist_ok=True)
            free_bytes = shutil.disk_usage(self.directory).free
        except OSError as error:
            raise StartError(f"{self.directory} cannot be used: {error.strerror}.") from error
        if not os.access(self.directory, os.W_OK | os.X_OK):
            raise StartError(f"{self.directory} cannot be used: Permission denied.")
        if free_bytes < _DISK_BYTES_MIN:
            raise StartError(
                f"The disk that holds {self.directory} is full: {free_bytes // 2**20} MiB are "
                f"free and {_DISK_BYTES_MIN // 2**20} MiB are needed."
            )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Own the folder; `StartError` names whoever does already."""
        with (self.directory / "run.lock").open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                raise StartError(
                    f"`payments run` is already running in {self.directory} "
                    f"(process {lock.read().strip()}); `payments status` shows it."
                ) from None
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            yield

    def port(self, name: str, preferred: int) -> int:
        """The preferred port if it is free, else the one of last time, else any; remembered."""
        file = self.directory / "ports.json"
        remembered: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}
        for port in (preferred, remembered.get(name)):
            if (
                port is not None
                and is_free(port)
                and port not in _others(remembered, name)
                and claim(port)
            ):
                chosen = port
                break
        else:
            chosen = free_port()
        write_atomically(file, json.dumps(remembered | {name: chosen}, indent=2))
        return chosen

    def shorten_logs(self) -> None:
        """Move each log that has grown too long aside; its writer goes on in an empty one."""
        for log in (self.directory / "logs").glob("*.log"):
            if log.stat().st_size > LOG_BYTES_MAX:
                shutil.copyfile(log, log.with_suffix(".log.1"))
                os.truncate(log, 0)


def _others(remembered: Mapping[str, int], name: str) -> set[int]:
    return {port for other, port in remembered.items() if other != name}


def write_atomically(path: Path, text: str) -> None:
    """Whoever reads the file sees the old text or the new one, never half of it."""
    unfinished = path.with_name(f".{path.name}.new")
    unfinished.write_text(text)
    unfinished.replace(path)
