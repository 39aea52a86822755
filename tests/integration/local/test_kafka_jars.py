"""Apache Kafka's jars: fetched once, whole, from where the environment says."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import TYPE_CHECKING

import psutil
import pytest
import pytest_asyncio

from local.embedded import jars
from local.embedded.jars import KAFKA, Unfetched, fetched
from local.program import StartError, free_port
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_JARS = KAFKA.jars()
_SMALL = min(_JARS, key=lambda jar: len(jar.file_name))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def origin() -> Path:
    """The folder in which this machine has them."""
    (first, *_) = await fetched(os.environ, print)
    return first.parent


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def _from_folder(cache: Path, folder: Path) -> dict[str, str]:
    return {**os.environ, "PAYMENTS_CACHE": str(cache), "PAYMENTS_KAFKA_JARS": str(folder)}


def _from_mirror(cache: Path, url: str) -> dict[str, str]:
    environment = {**os.environ, "PAYMENTS_CACHE": str(cache), "PAYMENTS_MAVEN_URL": url}
    environment.pop("PAYMENTS_KAFKA_JARS", None)
    return environment


def _assert_whole(files: Sequence[Path]) -> None:
    assert [file for jar, file in zip(_JARS, files, strict=True) if not jar.is_whole(file)] == []


@contextmanager
def _serving(folder: Path, handler: type[SimpleHTTPRequestHandler]) -> Iterator[str]:
    """The folder as a repository on the web, and its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder)))
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _repository(origin: Path, folder: Path) -> Path:
    """The jars as Maven lays them out."""
    for jar in _JARS:
        place = folder.joinpath(*jar.group.split("."), jar.artifact, jar.version)
        place.mkdir(parents=True)
        (place / jar.file_name).symlink_to(origin / jar.file_name)
    return folder


def test_every_jar_is_named_once_with_its_checksum() -> None:
    """The list is exact, and says nothing about where they are."""
    assert len({jar.file_name for jar in _JARS}) == len(_JARS)
    assert {len(jar.sha256) for jar in _JARS} == {64}


async def test_jars_come_from_a_folder_once(origin: Path, cache: Path) -> None:
    """The second start fetches nothing, and says nothing."""
    said: list[str] = []
    _assert_whole(await fetched(_from_folder(cache, origin), said.append))
    assert "46 jars" in said[0]
    assert said[-1] == "Fetched 46 of 46 jars."
    again: list[str] = []
    _assert_whole(await fetched(_from_folder(cache, cache / "nowhere"), again.append))
    assert again == []


async def test_what_is_damaged_half_or_missing_is_fetched_again(origin: Path, cache: Path) -> None:
    """And nothing else."""
    environment = _from_folder(cache, origin)
    missing, half, damaged, *others = await fetched(environment, print)
    untouched = [file.stat().st_mtime_ns for file in others]
    missing.unlink()
    half.write_bytes(half.read_bytes()[: half.stat().st_size // 2])
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    said: list[str] = []
    _assert_whole(await fetched(environment, said.append))
    assert "3 jars" in said[0]
    assert [file.stat().st_mtime_ns for file in others] == untouched


async def test_of_two_who_fetch_at_once_one_waits(origin: Path, cache: Path) -> None:
    """And then lacks nothing, though it could have fetched nothing itself."""
    folder = cache / "kafka"
    folder.mkdir(parents=True)
    said: list[str] = []
    with (folder / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        second = asyncio.create_task(fetched(_from_folder(cache, cache / "nowhere"), said.append))
        await eventually(lambda: second.done() or _is_open_elsewhere(folder / "lock"), within=30)
        for jar in _JARS:
            shutil.copyfile(origin / jar.file_name, folder / jar.file_name)
        assert not second.done()
    _assert_whole(await second)
    assert said == []


def _is_open_elsewhere(file: Path) -> bool:
    return any(
        str(file) == opened.path
        for child in psutil.Process().children()
        for opened in child.open_files()
    )


async def test_two_who_fetch_at_once_are_both_served(origin: Path, cache: Path) -> None:
    """Two checkouts that start for the first time together."""
    environment = _from_folder(cache, origin)
    for files in await asyncio.gather(*(fetched(environment, print) for _ in range(2))):
        _assert_whole(files)


async def test_jars_come_from_a_mirror(origin: Path, cache: Path, tmp_path: Path) -> None:
    """A company's repository has the layout of Maven Central."""
    with _serving(_repository(origin, tmp_path / "repository"), _Quiet) as url:
        _assert_whole(await fetched(_from_mirror(cache, url), print))


async def test_another_file_under_a_jars_name_is_refused(
    origin: Path, cache: Path, tmp_path: Path
) -> None:
    """Whoever serves it: the broker never runs what the list does not vouch for."""
    repository = _repository(origin, tmp_path / "repository")
    (served,) = repository.rglob(_SMALL.file_name)
    served.unlink()
    served.write_bytes(b"a page of a proxy")
    with (
        _serving(repository, _Quiet) as url,
        pytest.raises(Unfetched, match=f"{_SMALL.file_name} has another checksum"),
    ):
        await fetched(_from_mirror(cache, url), print)
    assert not (cache / "kafka" / _SMALL.file_name).exists()


async def test_without_a_connection_one_sentence_says_what_to_do(cache: Path) -> None:
    """It names a mirror, a folder and a broker of one's own."""
    with pytest.raises(Unfetched) as refusal:
        await fetched(_from_mirror(cache, f"http://127.0.0.1:{free_port()}"), print)
    sentence = str(refusal.value)
    assert len(sentence.splitlines()) == 1
    for variable in (
        "PAYMENTS_MAVEN_URL", "PAYMENTS_KAFKA_JARS", "PAYMENTS_KAFKA_BOOTSTRAP_SERVERS",
    ):  # fmt: skip
        assert variable in sentence
    assert refusal.value.exit_code == 2


async def test_a_folder_without_the_jars_is_named(cache: Path, tmp_path: Path) -> None:
    """Whoever points to the wrong one reads which, and what is not in it."""
    with pytest.raises(Unfetched, match=rf"{tmp_path} has no .*\.jar"):
        await fetched(_from_folder(cache, tmp_path), print)


async def test_a_place_that_cannot_be_written_is_named(origin: Path, tmp_path: Path) -> None:
    """Such as a file where a folder should be."""
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(StartError, match=r"taken.* cannot be filled: Not a directory"):
        await fetched(_from_folder(tmp_path / "taken", origin), print)


async def test_a_fetch_that_is_interrupted_ends_at_once_and_leaves_nothing_wrong(
    origin: Path, cache: Path, tmp_path: Path
) -> None:
    """Here while the mirror keeps everybody waiting; the next fetch is whole."""
    asked, over = Event(), Event()

    class Slow(_Quiet):
        def do_GET(self) -> None:
            asked.set()
            over.wait()

    environment = _from_mirror(cache, "")
    with _serving(tmp_path, Slow) as url:
        fetching = asyncio.create_task(
            jars.fetched(environment | {"PAYMENTS_MAVEN_URL": url}, print)
        )
        await eventually(asked.is_set, within=30)
        fetching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await fetching
        over.set()
    assert "local.embedded.jars" not in [
        word for child in psutil.Process().children() for word in child.cmdline()
    ]
    _assert_whole(await fetched(_from_folder(cache, origin), print))
    assert not (cache / "kafka" / "unfinished").exists()
