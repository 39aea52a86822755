"""A stage, a topic, a slot or a process is one row: everything else is made of the tables.

Each test adds a row to a table and asks the functions that the processes themselves ask.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import aiohttp
import pytest
import yaml

from lag.targets import groups_of, slots_of, streams_of
from local.home import Home
from local.processes import (
    PROCESSES,
    PlatformProcess,
    RunContext,
    processes_of,
    processes_of_cluster,
    programs,
)
from local.program import StopGroup
from process.settings import SINKS, Settings
from tests.support.project.compose import differences, read_compose, scrape_differences
from tests.support.project.kubernetes import KUBERNETES, resolved
from tests.support.project.kubernetes import differences as pods
from tests.support.project.tree import ROOT
from topics.contracts.catalogue import CHANNELS
from topics.names import EVENTS, SLOTS, STAGES, TOPICS, Does, WorkStage, by_command

AUDITS: Final = replace(EVENTS, name="payments.audits")
AUDIT: Final = WorkStage("audit", Does.DEAD_LETTERS, AUDITS)
NUMBERS: Final = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine",
                  "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen")  # fmt: skip


@pytest.fixture
async def context(tmp_path: Path) -> AsyncIterator[RunContext]:
    """A run in an empty folder."""
    home = Home(tmp_path)
    home.prepare()
    async with aiohttp.ClientSession() as http:
        yield RunContext(home, Settings(), {"PAYMENTS_SIMULATOR_PORT": "8090"}, http)


async def test_a_new_stage_is_run_measured_and_missed_in_the_deployment(
    context: RunContext,
) -> None:
    """`make run` starts it, the command line knows it, its lag is asked for, compose lacks it."""
    stages = (*STAGES, AUDIT)
    processes = processes_of(stages)
    program = {each.name: each for each in programs(context, processes, demo=False)}["audit"]
    assert program.command[1:] == ("-m", "agents", "audit", "--member", "local")
    assert program.stop_group is StopGroup.STAGES
    assert program.address.endswith(program.environment["PAYMENTS_OBSERVABILITY_METRICS_PORT"])
    assert by_command(stages)["audit"] is AUDIT
    assert groups_of(stages)["payments.audit"] == "payments.audits"
    assert differences(read_compose(), processes) == ["audit: None instead of 'agents audit'"]
    assert scrape_differences(scrape_config(), processes) == ["audit: port None instead of 9100"]


async def test_a_new_process_is_run_and_missed_in_the_deployment(context: RunContext) -> None:
    """With the variables it defaults to, and the demonstration's only when it is wanted."""
    row = PlatformProcess(
        "archive", ("archive",), StopGroup.RELAYS, defaults={"PAYMENTS_ARCHIVE": "here"}
    )
    processes = (*PROCESSES, row, replace(row, name="show", is_demo=True))
    archive = programs(context, processes, demo=False)[-1]
    assert (archive.name, archive.stop_group) == ("archive", StopGroup.RELAYS)
    assert archive.environment["PAYMENTS_ARCHIVE"] == "here"
    assert programs(context, processes, demo=True)[-1].name == "show"
    assert differences(read_compose(), processes) == ["archive: None instead of 'archive'"]
    kubernetes = pods(resolved(KUBERNETES / "overlays/local"), processes)
    assert kubernetes == ["archive: None instead of 'archive'"]


async def test_what_runs_on_this_machine_speaks_plain_http(context: RunContext) -> None:
    """Whatever certificates its environment has for where others reach it."""
    certificate = {
        f"PAYMENTS_{prefix}_SSL_CERTIFICATE_FILE": "/etc/hosts" for prefix in ("SERVER", "WEBHOOKS")
    }
    own = replace(context, environment={**context.environment, **certificate})
    for each in programs(own, demo=False):
        assert {each.environment[name] for name in certificate} == {""}, each.name


async def test_who_has_a_client_waiting_goes_first(context: RunContext) -> None:
    """On the machine that all share."""
    first = {each.name for each in programs(context, demo=True) if each.niceness == 0}
    assert first == {"ingress", "webhooks", "demo"}


def test_a_new_sink_has_its_relay_and_its_slot() -> None:
    """Its relay is run, its slot's lag is asked for, compose lacks it."""
    slots = {**SLOTS, "archive": "payments_archive"}
    processes = processes_of(sinks=slots)
    relays = [each.command for each in processes if each.stop_group is StopGroup.RELAYS]
    assert ("topics.relay", "--sink", "archive") in relays
    assert "payments_archive" in slots_of(slots)
    assert differences(read_compose(), processes) == [
        "relay-archive: None instead of 'topics.relay --sink archive'"
    ]


@pytest.mark.parametrize(
    "processes", [processes_of(sinks=["redis"]), processes_of_cluster(["redis"])]
)
def test_a_sink_there_is_not_has_no_relay(processes: tuple[PlatformProcess, ...]) -> None:
    """All others are there, and a cluster's two of each."""
    commands = {each.command for each in processes if each.stop_group is StopGroup.RELAYS}
    assert commands == {("topics.relay", "--sink", "redis")}
    assert commands < {each.command for each in processes}


def test_the_settings_know_every_sink() -> None:
    """Where one says which of them there are."""
    assert set(SINKS) == set(SLOTS)


def test_a_new_topic_is_mirrored_and_measured_if_it_is_public() -> None:
    """Its stream's groups are asked for."""
    assert "payments.audits" in streams_of((*TOPICS, AUDITS))
    assert "payments.audits" not in streams_of((*TOPICS, replace(AUDITS, public=False)))


def test_every_topic_has_its_contract() -> None:
    """A row of the one without a row of the other would be found when it is needed."""
    assert [each.name for each in CHANNELS] == [each.name for each in TOPICS]


def test_a_stage_with_another_name_goes_by_both() -> None:
    """What was started under the old name goes on being started under it."""
    assert by_command()["notifications"] is by_command()["webhooks"]


def test_the_readme_names_every_process_and_topic() -> None:
    """And as many processes as there are."""
    readme = (ROOT / "README.md").read_text()
    ours = [each for each in PROCESSES if not each.is_demo]
    assert f"each of our {NUMBERS[len(ours)]} processes" in readme
    for word in [*(each.command for each in STAGES), *(each.name for each in TOPICS)]:
        assert f"`{word}`" in readme or f" {word}`" in readme, word
    for sink in SLOTS:
        assert f"--sink {sink}" in readme


def scrape_config() -> dict[str, list[dict[str, object]]]:
    config: dict[str, list[dict[str, object]]] = yaml.safe_load(
        (ROOT / "deploy/prometheus/prometheus.yml").read_text()
    )
    return config
