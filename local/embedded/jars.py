"""The jars a Java program is made of, each by its exact coordinates and its checksum.

They are fetched once, into a folder that all checkouts share, and looked through at every start:
what is missing, damaged or half written is fetched again. A jar gets its place there only when its
checksum is right, so that a fetch which is killed, or has a twin, leaves nothing wrong. It runs as
a process of its own, which can be ended at any moment.
"""

import argparse
import asyncio
import fcntl
import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

from local.program import CODE, StartError

# What the environment may say of where the jars come from and where they are kept.
VARIABLES: Final = frozenset({"PAYMENTS_CACHE", "PAYMENTS_KAFKA_JARS", "PAYMENTS_MAVEN_URL"})
# Each takes longer to ask for than to receive.
_AT_ONCE: Final = 8
# A connection may break, and a proxy answer with a page of its own.
_TRIES: Final = 2
_ANSWER_SECONDS_MAX: Final = 30
_REPORTS: Final = 4
_COMPLAINT_MAX: Final = 2000


class Unfetched(StartError):
    """A server's files cannot be had; the message says where they may come from instead."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Jar:
    """One file, as Maven names it, and what is in it."""

    group: str
    artifact: str
    version: str
    sha256: str

    @classmethod
    def of(cls, line: str) -> "Jar":
        coordinates, sha256 = line.split()
        group, artifact, version = coordinates.split(":")
        return cls(group, artifact, version, sha256)

    @property
    def file_name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"

    def is_whole(self, file: Path) -> bool:
        """Whether the file is this jar, to the last bit."""
        try:
            with file.open("rb") as opened:
                return hashlib.file_digest(opened, "sha256").hexdigest() == self.sha256
        except OSError:
            return False


@dataclass(frozen=True, slots=True)
class Listing:
    """A program by its name, the file that lists its jars, and their folder in the cache."""

    name: str
    file: Path
    folder: str

    def jars(self) -> tuple[Jar, ...]:
        lines = self.file.read_text().splitlines()
        return tuple(Jar.of(line) for line in lines if not line.startswith("#"))


KAFKA: Final = Listing("Apache Kafka", Path(__file__).with_name("kafka-jars.txt"), "kafka")


# Puts a jar, whole or not, into an empty folder; says where it is. Raises `Unfetched`.
Source: TypeAlias = Callable[[Jar, Path], Path]


def cache(environment: Mapping[str, str]) -> Path:
    """The folder of fetched files: `PAYMENTS_CACHE`, or `payments` in the user's cache folder."""
    if named := environment.get("PAYMENTS_CACHE"):
        return Path(named).absolute()
    if shared := environment.get("XDG_CACHE_HOME"):
        return Path(shared).absolute() / "payments"
    try:
        return Path.home() / ".cache" / "payments"
    except RuntimeError:
        raise StartError("Nobody's home is known here: set PAYMENTS_CACHE to a folder.") from None


async def fetched(
    environment: Mapping[str, str], say: Callable[[str], None], listing: Listing = KAFKA
) -> Sequence[Path]:
    """Every jar, whole; those that are not there yet are fetched. Raises `StartError`."""
    folder = cache(environment) / listing.folder
    jars = listing.jars()
    if await asyncio.to_thread(_lacking, jars, folder):
        await _fetch_apart(listing, folder, environment, say)
    return [folder / jar.file_name for jar in jars]


async def _fetch_apart(
    listing: Listing, folder: Path, environment: Mapping[str, str], say: Callable[[str], None]
) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "local.embedded.jars"),
        *(listing.name, str(listing.file), str(folder)),
        cwd=CODE,
        env=dict(environment),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        process_group=0,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        async for line in process.stdout:
            say(line.decode().rstrip())
        complaint = (await process.stderr.read()).decode(errors="replace").strip()
        await process.wait()
    finally:
        if process.returncode is None:  # whoever waits was told to stop
            process.kill()
            await process.wait()
    if process.returncode == Unfetched.exit_code:
        raise Unfetched(complaint)
    if process.returncode != 0:
        said = complaint[-_COMPLAINT_MAX:]
        raise StartError(f"{listing.name}'s jars cannot be fetched: {said}.")


def _lacking(jars: Sequence[Jar], folder: Path) -> list[Jar]:
    return [jar for jar in jars if not jar.is_whole(folder / jar.file_name)]


def fetch(listing: Listing, folder: Path, source: Source, say: Callable[[str], None]) -> None:
    """Put each jar that is not whole into the folder. Raises `Unfetched`, `OSError`.

    Of two who fetch at once, the second waits, and then lacks nothing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lacking = _lacking(listing.jars(), folder)
        if not lacking:
            return
        say(f"Fetching {listing.name}, once for this machine: {len(lacking)} jars to {folder} ...")
        unfinished = folder / "unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)  # of one that was killed
        unfinished.mkdir()
        pool = ThreadPoolExecutor(_AT_ONCE)
        tasks = [pool.submit(_place, jar, source, unfinished, folder) for jar in lacking]
        try:
            for done, task in enumerate(as_completed(tasks), start=1):
                task.result()
                if done * _REPORTS // len(tasks) > (done - 1) * _REPORTS // len(tasks):
                    say(f"Fetched {done} of {len(tasks)} jars.")
        finally:
            pool.shutdown(cancel_futures=True)
            shutil.rmtree(unfinished, ignore_errors=True)


def _place(jar: Jar, source: Source, unfinished: Path, folder: Path) -> None:
    failure = _unfetched(f"what came as {jar.file_name} has another checksum")
    for attempt in range(_TRIES):
        room = unfinished / f"{jar.file_name}.{attempt}"
        room.mkdir()
        try:
            came = source(jar, room)
        except Unfetched as error:
            failure = error
            continue
        if jar.is_whole(came):
            came.replace(folder / jar.file_name)
            return
    raise failure


def source_of(environment: Mapping[str, str]) -> Source:
    """Where the environment says that the jars are; Maven Central, if it says nothing."""
    if named := environment.get("PAYMENTS_KAFKA_JARS"):
        return partial(_copied, Path(named))
    return partial(_downloaded, environment.get("PAYMENTS_MAVEN_URL"))


def _copied(origin: Path, jar: Jar, room: Path) -> Path:
    """A jar of a folder, or of a Maven repository's folders."""
    for found in origin.rglob(jar.file_name):
        return Path(shutil.copyfile(found, room / jar.file_name))
    raise _unfetched(f"{origin} has no {jar.file_name}")


def _downloaded(mirror: str | None, jar: Jar, room: Path) -> Path:
    """By its coordinates alone: resolved as a tree, jgo picks other versions than Maven does."""
    # Only here: it takes a third of a second to import, and most starts fetch nothing.
    import requests  # noqa: PLC0415
    from jgo.maven import MavenContext  # noqa: PLC0415

    context = MavenContext(
        repo_cache=room,
        remote_repos=None if mirror is None else {"mirror": mirror.rstrip("/")},
        timeout=_ANSWER_SECONDS_MAX,
    )
    component = context.project(jar.group, jar.artifact).at_version(jar.version)
    try:
        return component.artifact().resolve()
    except requests.exceptions.SSLError:
        cause = "its certificate is not trusted (REQUESTS_CA_BUNDLE names your own authorities)"
    except requests.exceptions.ProxyError:
        cause = "the proxy does not let us through"
    except requests.RequestException:
        cause = "no connection to it lasts"
    except RuntimeError:  # how jgo says that no repository has it
        cause = f"it does not have {jar.file_name}"
    raise _unfetched(f"{mirror or 'Maven Central'}: {cause}")


def _unfetched(cause: str) -> Unfetched:
    return Unfetched(
        f"Apache Kafka's jars cannot be fetched ({cause}): set PAYMENTS_MAVEN_URL to a mirror of "
        "Maven Central, PAYMENTS_KAFKA_JARS to a folder that has them, or "
        "PAYMENTS_KAFKA_BOOTSTRAP_SERVERS to a broker of your own."
    )


def main(listing: Listing, folder: Path) -> None:
    """Fetch into the folder; one sentence on standard error and an exit code say what failed."""
    try:
        fetch(listing, folder, source_of(os.environ), _report)
    except Unfetched as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)
    except OSError as error:
        sys.stderr.write(f"{folder} cannot be filled: {error.strerror}\n")
        sys.exit(1)


def _report(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("file", type=Path)
    parser.add_argument("folder", type=Path)
    asked = parser.parse_args()
    main(Listing(asked.name, asked.file, asked.folder.name), asked.folder)
