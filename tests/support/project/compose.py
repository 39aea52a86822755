"""docker-compose.yml as far as this project uses it, and what it lacks of the processes' table.

The files of deployment are written by hand; these functions say where they differ from a table, so
that a row nobody deployed is complained of.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

from local.processes import PlatformProcess
from tests.support.project.tree import ROOT

# What a process is called there, where it is not as under `make run`.
_SERVICES: Final = {"ingress": "api"}
# Where it answers by itself; all others on one port, each in its own container.
_HEALTH_PORTS: Final = {"api": 8080, "simulator": 8090}
_METRICS_PORTS: Final = {"simulator": 8090}
_METRICS_PORT: Final = 9100
# A name for one worker of each stage is for one host.
_MEMBER: Final = " --member local"

Duration = Annotated[str, Field(pattern=r"^\d+(ms|s|m)$")]


class Strict(BaseModel):
    """Refuses a key the compose specification has not, as far as this file uses it."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Build(Strict):
    context: str
    dockerfile: str


class HealthCheck(Strict):
    test: list[str] | None = None
    interval: Duration | None = None
    timeout: Duration | None = None
    start_period: Duration | None = None
    start_interval: Duration | None = None
    retries: int | None = None
    disable: bool = False


class Dependency(Strict):
    condition: Literal["service_healthy", "service_completed_successfully"]


class Service(Strict):
    image: Annotated[str, Field(pattern=r"^[a-z0-9./-]+:[\w.-]+$")]
    build: Build | None = None
    command: str | list[str] | None = None
    hostname: str | None = None
    profiles: list[str] = []
    environment: dict[str, str] = {}
    ports: list[Annotated[str, Field(pattern=r"^127\.0\.0\.1:\d+:\d+$")]] = []
    volumes: list[str] = []
    extra_hosts: list[str] = []
    restart: Literal["no", "unless-stopped"]
    stop_grace_period: Duration | None = None
    depends_on: dict[str, Dependency] = {}
    healthcheck: HealthCheck | None = None


class Compose(Strict):
    name: str
    services: dict[str, Service]
    volumes: dict[str, None]


def read_compose() -> Compose:
    document = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return Compose.model_validate(
        {key: value for key, value in document.items() if not key.startswith("x-")}
    )


def commands_of(processes: Iterable[PlatformProcess]) -> dict[str, str]:
    """The command of each service of ours, after `python -m`, but for the demonstration's."""
    return {
        _SERVICES.get(each.name, each.name): " ".join(each.command).removesuffix(_MEMBER)
        for each in processes
        if not each.is_demo
    }


def port_of(service: str) -> int:
    """Where a service of ours serves its health, inside its container."""
    return _HEALTH_PORTS.get(service, _METRICS_PORT)


def differences(compose: Compose, processes: Iterable[PlatformProcess]) -> list[str]:
    """What compose runs otherwise than the table says, a line each."""
    expected = {"migrate": "cli migrate up"} | commands_of(processes)
    actual = {
        name: " ".join(service.command or ()).removeprefix("python -m ")
        for name, service in compose.services.items()
        if service.build is not None
    }
    return [
        f"{name}: {actual.get(name)!r} instead of {expected.get(name)!r}"
        for name in sorted(expected.keys() | actual.keys())
        if actual.get(name) != expected.get(name)
    ]


def scrape_differences(
    config: Mapping[str, Sequence[Mapping[str, object]]], processes: Iterable[PlatformProcess]
) -> list[str]:
    """What Prometheus scrapes otherwise than the table says, a line each."""
    (targets,) = [
        job["dns_sd_configs"] for job in config["scrape_configs"] if job["job_name"] == "payments"
    ]
    assert isinstance(targets, list)
    actual = {name: target["port"] for target in targets for name in target["names"]}
    expected = {name: _METRICS_PORTS.get(name, _METRICS_PORT) for name in commands_of(processes)}
    return [
        f"{name}: port {actual.get(name)} instead of {expected.get(name)}"
        for name in sorted(expected.keys() | actual.keys())
        if actual.get(name) != expected.get(name)
    ]
