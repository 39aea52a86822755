"""Our own processes under `payments run`: one table of them, and what a row becomes.

Each has its log, its port for health and metrics, and an environment that leads it to the servers
and to the provider simulator. Work stops coming in first, then what is on its way is finished.
"""

import sys
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

import aiohttp
from pydantic import SecretStr

from local.home import Home
from local.program import CODE, Program, Running, StopGroup
from process.settings import ServerSettings, Settings, WebhookSettings
from topics.names import SLOTS, STAGES, WorkStage

# A name that outlives a process: whoever is restarted has its partitions back at once.
_MEMBER: Final = "local"
_METRICS_PORT_FIRST: Final = 9101  # where exporters usually count up from
# What runs here for this machine speaks plain HTTP, whatever its listeners' certificates are.
_PLAIN: Final = {
    f"{field.validation_alias}{of_file}": ""
    for section in (ServerSettings, WebhookSettings)
    for name, field in section.model_fields.items()
    if name.startswith("ssl_")
    for of_file in (("", "_FILE") if field.annotation is SecretStr else ("",))
}
# Nobody spreads load over what is here once.
_UNBALANCED: Final = {"PAYMENTS_SERVER_SHUTDOWN_DELAY": "0"}
_OPEN: Final = {"PAYMENTS_AUTH_MODE": "open"}
_WEBHOOK_KEY: Final = "PAYMENTS_WEBHOOK_KEY"
_WEBHOOK_NETWORKS: Final = "PAYMENTS_WEBHOOK_NETWORKS"
# Besides what each imports at once; as text, for nobody here needs it.
_IMPORTED_LATE: Final = (
    "agents.at_once",
    "topics.relay.sinks.kafka",
    "topics.relay.sinks.redis_streams",
)
# On a machine that all of them share who has a client waiting goes first: what was accepted is done
# a little later, and no less of it.
_WAITED_FOR: Final = {StopGroup.ENTRANCES, StopGroup.CLIENTS}
_NICENESS: Final = 5
_HEALTH_TIMEOUT: Final = aiohttp.ClientTimeout(total=2)


@dataclass(frozen=True, slots=True)
class RunContext:
    """What every process of a run shares: `environment` leads to the servers, who starts it."""

    home: Home
    settings: Settings
    environment: Mapping[str, str]
    http: aiohttp.ClientSession
    starter: Callable[[Program], Awaitable[Running]] | None = None


@dataclass(frozen=True, slots=True)
class PlatformProcess:
    """One process of ours: what `python -m` runs, and with whom it is stopped.

    It serves its health at `address`, or on a metrics port of its own. `defaults` are variables
    for where the environment has none; `{ingress}` in `command` is the ingress's address.
    """

    name: str
    command: tuple[str, ...]
    stop_group: StopGroup
    address: Callable[[RunContext], str] | None = None
    defaults: dict[str, str] = field(default_factory=dict)
    is_demo: bool = False


def ingress_address(settings: Settings) -> str:
    """As a client on this machine reaches it, whatever it listens on."""
    host = settings.server.host
    is_any = host in {"", "0.0.0.0", "::"}  # noqa: S104 # compared, never bound
    named = f"[{host}]" if ":" in host else host
    return f"http://{'127.0.0.1' if is_any else named}:{settings.server.port}"


def simulator_address(environment: Mapping[str, str]) -> str:
    return f"http://127.0.0.1:{environment['PAYMENTS_SIMULATOR_PORT']}"


def processes_of(
    stages: Iterable[WorkStage] = STAGES, sinks: Iterable[str] = SLOTS
) -> tuple[PlatformProcess, ...]:
    """The table: a relay for each sink and a process for each stage, and what is there once."""
    return (
        PlatformProcess("ingress", ("api",), StopGroup.ENTRANCES, _ingress, _OPEN),
        PlatformProcess("simulator", ("simulator",), StopGroup.PROVIDERS, _simulator),
        *(_relay(sink) for sink in sinks),
        *(_worker(stage) for stage in stages),
        PlatformProcess("lag", ("lag",), StopGroup.OBSERVERS),
        PlatformProcess(
            "demo", ("cli", "demo", "--url", "{ingress}"), StopGroup.CLIENTS, _ingress, is_demo=True
        ),
    )


def processes_of_cluster(sinks: Collection[str] = SLOTS) -> tuple[PlatformProcess, ...]:
    """Two of everything of ours: any of them may die, and the other goes on.

    The ingresses share a port, and so each says on one of its own how it is.
    """
    ingress, *others = processes_of(sinks=sinks)
    ingress = replace(ingress, address=None)
    return (
        ingress,
        *others,
        *(
            replace(each, name=_second(each.name))
            for each in (ingress, PlatformProcess("lag", ("lag",), StopGroup.OBSERVERS))
        ),
        *(replace(_relay(sink), name=_second(f"relay-{sink}")) for sink in sinks),
        *(replace(_worker(stage, _second(_MEMBER)), name=_second(stage.name)) for stage in STAGES),
    )


def _second(name: str) -> str:
    return f"{name}-2"


def _relay(sink: str) -> PlatformProcess:
    return PlatformProcess(f"relay-{sink}", ("topics.relay", "--sink", sink), StopGroup.RELAYS)


def _worker(stage: WorkStage, member: str = _MEMBER) -> PlatformProcess:
    return PlatformProcess(
        stage.name,
        ("agents", stage.command, "--member", member),
        StopGroup.ENTRANCES if stage.listens else StopGroup.STAGES,
    )


def _ingress(context: RunContext) -> str:
    return ingress_address(context.settings)


def _simulator(context: RunContext) -> str:
    return simulator_address(context.environment)


PROCESSES: Final = processes_of()


def modules_of(processes: Iterable[PlatformProcess] = PROCESSES) -> list[str]:
    """What they import, those of the demo aside, for whoever imports it for all of them."""
    mains = {f"{each.command[0]}.__main__" for each in processes if not each.is_demo}
    return [*sorted(mains), *_IMPORTED_LATE]


def programs(
    context: RunContext, processes: Iterable[PlatformProcess] = PROCESSES, *, demo: bool
) -> list[Program]:
    """What is to be run, all of it together."""
    wanted = [each for each in processes if demo or not each.is_demo]
    on_metrics_port = [each for each in wanted if each.address is None]
    ports = {
        each.name: context.home.port(each.name, _METRICS_PORT_FIRST + place)
        for place, each in enumerate(on_metrics_port)
    }
    return [_program(context, each, ports.get(each.name)) for each in wanted]


def provider_variables(home: Home, settings: Settings, given: Mapping[str, str]) -> dict[str, str]:
    """What leads to the simulator, but where the environment names real providers itself."""
    port = home.port("simulator", settings.simulator.port)
    address = f"http://127.0.0.1:{port}"
    simulated = {"PAYMENTS_SIMULATOR_JOURNAL": str(home.data("simulator.jsonl"))}
    for each in settings.providers.values():
        simulated |= each.leading_to_simulator(address, given)
    receiver = home.port("webhooks-receiver", settings.webhooks.port)
    simulated["PAYMENTS_SIMULATOR_WEBHOOKS_URL"] = f"http://127.0.0.1:{receiver}"
    own = {name: value for name, value in simulated.items() if not given.get(name)}
    return {
        **own,
        **_webhook_variables(given),
        "PAYMENTS_SIMULATOR_HOST": "127.0.0.1",
        "PAYMENTS_SIMULATOR_PORT": str(port),
        "PAYMENTS_WEBHOOKS_PORT": str(receiver),
    }


def _webhook_variables(given: Mapping[str, str]) -> dict[str, str]:
    """A key that everybody knows, and endpoints on this machine: unless there is a key."""
    if given.get(_WEBHOOK_KEY) or given.get(f"{_WEBHOOK_KEY}_FILE"):
        return {}
    networks = given.get(_WEBHOOK_NETWORKS) or "127.0.0.0/8,::1/128"
    return {_WEBHOOK_KEY: "development", _WEBHOOK_NETWORKS: networks}


def _program(context: RunContext, process: PlatformProcess, metrics_port: int | None) -> Program:
    if process.address is None:
        address = f"http://127.0.0.1:{metrics_port}"
        variables = {
            "PAYMENTS_OBSERVABILITY_METRICS_HOST": "127.0.0.1",
            "PAYMENTS_OBSERVABILITY_METRICS_PORT": str(metrics_port),
            "PAYMENTS_OBSERVABILITY_METRICS_PORTS": "1",
        }
    else:
        address, variables = process.address(context), {}
    defaults = _UNBALANCED | process.defaults
    own = {name: context.environment.get(name) or of for name, of in defaults.items()}
    ingress = ingress_address(context.settings)

    async def is_ready() -> bool:
        return await _is_ready(context.http, f"{address}/health/ready")

    return Program(
        name=process.name,
        command=(sys.executable, "-m", *(word.format(ingress=ingress) for word in process.command)),
        directory=CODE,
        log=context.home.log(process.name),
        address=address,
        is_ready=is_ready,
        environment={**context.environment, **variables, **own, **_PLAIN},
        stop_group=process.stop_group,
        niceness=0 if process.stop_group in _WAITED_FOR else _NICENESS,
        port=None if process.is_demo else urlsplit(address).port,
        starter=context.starter,
    )


async def _is_ready(http: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with http.get(url, timeout=_HEALTH_TIMEOUT) as answer:
            return answer.status == HTTPStatus.OK
    except (aiohttp.ClientError, TimeoutError):
        return False
