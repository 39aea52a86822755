"""A platform of small real processes: brought up, recorded, drained in order, or not at all."""

import asyncio
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest

from local.home import Home
from local.platform import Platform, RunSpec
from local.processes import RunContext
from local.program import Program, StartError, StopGroup
from local.run import live
from local.run_record import (
    Addresses,
    RunRecord,
    end_leftovers,
    is_alive,
    is_running,
    left_behind,
    looked_at,
    read_record,
    variables_of_run,
    write_record,
)
from local.servers import Server, Stack
from local.supervisor import ProcessState, ProcessStatus
from process.addresses import DatabaseAddress
from process.settings import Settings
from store.migrations import pending
from store.pool import connect_single
from tests.support.waiting import eventually

CHILD: Final = Path(__file__).parents[2] / "support" / "local" / "child.py"
GROUPS: Final = {
    "simulator": StopGroup.PROVIDERS,
    "relay-kafka": StopGroup.RELAYS,
    "ingress": StopGroup.ENTRANCES,
    "charge": StopGroup.STAGES,
}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / ".payments")
    made.prepare()
    return made


def program(home: Home, name: str, *manner: str) -> Program:
    folder = home.directory
    return Program(
        name=name,
        command=(sys.executable, "-S", "-E", str(CHILD), str(folder), name, *manner),
        directory=folder,
        log=home.log(name),
        address="",
        is_ready=lambda: asyncio.to_thread((folder / f"{name}.ready").exists),
        stop_group=GROUPS.get(name, StopGroup.STORAGE),
    )


def platform(
    home: Home, database: DatabaseAddress, processes: Callable[[RunContext], list[Program]]
) -> Platform:
    """Real children and a real database; Redis and Kafka are somewhere else."""

    async def prepare() -> Stack:
        valkey = Server("redis://elsewhere", (program(home, "valkey"),))
        return Stack(Server("postgresql://elsewhere"), database, valkey, Server("elsewhere:9092"))

    return Platform(
        RunSpec(
            home=home,
            settings=Settings(),
            environment={},
            prepare=prepare,
            processes=processes,
            say=lambda _: None,
        )
    )


def record_of(home: Home) -> RunRecord:
    record = read_record(home)
    assert record is not None
    return record


async def test_everything_is_recorded_and_drains_in_order(
    home: Home, empty_database: DatabaseAddress
) -> None:
    """Servers first and the schema before any process; the other way round at the end."""
    processes = [program(home, name) for name in GROUPS]
    stop = asyncio.Event()
    running = asyncio.ensure_future(
        live(platform(home, empty_database, lambda _: processes), stop, lambda _: None)
    )
    await eventually((home.directory / "charge.ready").exists)
    await eventually(
        lambda: all(one.state is ProcessState.READY for one in record_of(home).processes), within=10
    )
    record = record_of(home)
    assert [one.name for one in record.processes] == ["valkey", *GROUPS]
    assert all(is_alive(one) for one in record.processes)
    assert is_running(record)
    connection = await connect_single(empty_database, application_name="payments migrate")
    assert await pending(connection) == []
    await connection.close()

    stop.set()
    assert await running == []
    ended = (home.directory / "ended").read_text().split()
    assert ended == ["ingress", "charge", "relay-kafka", "simulator", "valkey"]
    assert {one.state for one in record_of(home).processes} == {ProcessState.STOPPED}


async def test_a_process_that_cannot_start_takes_the_others_down_in_order(
    home: Home, empty_database: DatabaseAddress
) -> None:
    """What failed is said in its own words, and nothing is left running."""
    processes = [program(home, "simulator"), program(home, "charge", "broken")]
    with pytest.raises(StartError, match="I cannot find my configuration"):
        await live(
            platform(home, empty_database, lambda _: processes), asyncio.Event(), lambda _: None
        )
    assert (home.directory / "ended").read_text().split() == ["simulator", "valkey"]
    assert not any(is_alive(one) for one in record_of(home).processes)


async def test_a_stop_during_the_start_ends_what_had_started(
    home: Home, empty_database: DatabaseAddress
) -> None:
    """Ctrl-C need not wait until everything is ready."""
    stop = asyncio.Event()
    never_ready = program(home, "ingress")
    slow = Program(
        name="charge",
        command=never_ready.command,
        directory=never_ready.directory,
        log=home.log("charge"),
        address="",
        is_ready=lambda: asyncio.to_thread((home.directory / "never").exists),
        stop_group=StopGroup.STAGES,
    )
    running = asyncio.ensure_future(
        live(platform(home, empty_database, lambda _: [slow]), stop, lambda _: None)
    )
    await eventually((home.directory / "ingress.ready").exists)
    stop.set()
    assert await running == []
    assert (home.directory / "ended").read_text().split() == ["ingress", "valkey"]


async def test_a_database_that_is_away_is_one_sentence(home: Home) -> None:
    """With the address that was tried."""
    nowhere = DatabaseAddress(
        host="127.0.0.1", port=1, user="payments", password="", database="payments"
    )
    with pytest.raises(StartError, match=r"Postgres at 127\.0\.0\.1:1 cannot be used"):
        await live(platform(home, nowhere, lambda _: []), asyncio.Event(), lambda _: None)


async def test_leftovers_of_a_killed_run_are_ended_and_strangers_are_not(home: Home) -> None:
    """A recorded pid is believed only if its process is as old as the record says."""
    command = program(home, "ingress").command
    left = await asyncio.create_subprocess_exec(*command, process_group=0)
    await eventually((home.directory / "ingress.ready").exists)
    of_another_boot = recorded(left.pid, datetime(2000, 1, 1, tzinfo=UTC))
    assert not is_running(of_another_boot)
    assert looked_at(of_another_boot).processes[0].state is ProcessState.STOPPED
    assert left_behind(of_another_boot) == []

    of_a_run_that_goes_on = recorded(left.pid, datetime.now(UTC))
    assert left_behind(of_a_run_that_goes_on) == []
    killed = of_a_run_that_goes_on.model_copy(update={"started_at": of_another_boot.started_at})
    (found,) = left_behind(killed)
    assert found.name == "ingress"
    end_leftovers([found], within_seconds=5)
    await left.wait()
    assert (home.directory / "ended").read_text() == "ingress\n"


async def test_commands_find_the_servers_that_a_run_was_told_of(home: Home) -> None:
    """Embedded ones by its record, real ones by its environment, which is in no file."""
    told = {
        "PAYMENTS_KAFKA_BOOTSTRAP_SERVERS": "kafka.example:9092",
        "PAYMENTS_DATABASE_PASSWORD": "of the real one",
        "PAYMENTS_SERVER_PORT": "81",
    }
    run = await asyncio.create_subprocess_exec(
        *program(home, "ingress").command, env=told, process_group=0
    )
    await eventually((home.directory / "ingress.ready").exists)
    embedded = {"PAYMENTS_DATABASE_PASSWORD": "of the embedded one"}
    record = recorded(run.pid, datetime.now(UTC)).model_copy(update={"environment": embedded})
    write_record(home, record)
    here = {"PAYMENTS_HOME": str(home.directory)}
    kafka = {"PAYMENTS_KAFKA_BOOTSTRAP_SERVERS": "kafka.example:9092"}
    assert variables_of_run(here) == kafka | embedded
    assert variables_of_run({**here, "PAYMENTS_DATABASE_HOST": "another.example"}) == kafka
    assert "kafka.example" not in home.record.read_text()
    run.terminate()
    await run.wait()
    assert variables_of_run(here) == {}


def recorded(pid: int, since: datetime) -> RunRecord:
    """A run and its only process, both with this pid."""
    return RunRecord(
        pid=pid,
        started_at=since,
        addresses=Addresses(ingress="", database="", redis="", kafka="", simulator=""),
        environment={},
        processes=(
            ProcessStatus(
                name="ingress",
                state=ProcessState.READY,
                pid=pid,
                address="",
                restarts=0,
                since=since,
                log="",
            ),
        ),
    )
