"""Our own processes under `payments run`, and the order in which they are stopped.

Each has its log, its port for health and metrics, and an environment that leads it to the servers
and to the provider simulator. Work stops coming in first, then what is on its way is finished.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import aiohttp

from local.home import Home
from local.program import CODE, Program
from process.settings import Settings

# A name that outlives a process: whoever is restarted has its partitions back at once.
_MEMBER: Final = ("--member", "local")
_COMMANDS: Final = {
    "relay-kafka": ("topics.relay", "--sink", "kafka"),
    "relay-redis": ("topics.relay", "--sink", "redis"),
    "charge": ("agents", "charge", *_MEMBER),
    "refund": ("agents", "refund", *_MEMBER),
    "schedule": ("agents", "schedule", *_MEMBER),
    "dead-letters": ("agents", "dead-letters", *_MEMBER),
    "webhooks": ("agents", "webhooks", *_MEMBER),
}
_METRICS_PORT_FIRST: Final = 9101  # where exporters usually count up from
_HEALTH_TIMEOUT: Final = aiohttp.ClientTimeout(total=2)

STOP_ORDER: Final = (
    ("demo",),
    ("ingress", "webhooks"),
    ("charge", "refund", "schedule", "dead-letters"),
    ("relay-kafka", "relay-redis"),
    ("simulator",),
)
SERVERS_STOP_ORDER: Final = (("kafka",), ("noida-db", "valkey", "postgres"))


@dataclass(frozen=True, slots=True)
class RunContext:
    """What every process of a run shares; `environment` leads to the servers."""

    home: Home
    settings: Settings
    environment: Mapping[str, str]
    http: aiohttp.ClientSession


def crew(around: RunContext, *, demo: bool) -> list[Program]:
    """Every process of ours, to be started together."""
    ports = {
        name: around.home.port(name, _METRICS_PORT_FIRST + place)
        for place, name in enumerate(_COMMANDS)
    }
    programs = [_ingress(around), _simulator(around)]
    programs += [_worker(around, name, port) for name, port in ports.items()]
    if demo:
        programs.append(_demo(around))
    return programs


def provider_variables(home: Home, settings: Settings, given: Mapping[str, str]) -> dict[str, str]:
    """What leads to the simulator, but where the environment names real providers itself."""
    port = home.port("simulator", settings.simulator.port)
    address = f"http://127.0.0.1:{port}"
    simulated = {
        "PAYMENTS_STRIPE_BASE_URL": address,
        "PAYMENTS_STRIPE_API_KEY": "sk_test_simulator",
        "PAYMENTS_PAYPAL_BASE_URL": address,
        "PAYMENTS_PAYPAL_CLIENT_ID": "simulator",
        "PAYMENTS_PAYPAL_CLIENT_SECRET": "simulator",
        "PAYMENTS_SIMULATOR_JOURNAL": str(home.data("simulator.jsonl")),
    }
    # A secret everybody knows is for the simulator only: a vendor's webhooks need their own.
    if not given.get("PAYMENTS_STRIPE_BASE_URL"):
        simulated["PAYMENTS_STRIPE_WEBHOOK_SECRET"] = "whsec_simulator"  # noqa: S105 - see above
    if not given.get("PAYMENTS_PAYPAL_BASE_URL"):
        simulated["PAYMENTS_PAYPAL_WEBHOOK_ID"] = "SIMULATOR"
    receiver = home.port("webhooks-receiver", settings.webhooks.port)
    simulated["PAYMENTS_SIMULATOR_WEBHOOKS_URL"] = f"http://127.0.0.1:{receiver}"
    own = {name: value for name, value in simulated.items() if not given.get(name)}
    return {
        **own,
        "PAYMENTS_SIMULATOR_HOST": "127.0.0.1",
        "PAYMENTS_SIMULATOR_PORT": str(port),
        "PAYMENTS_WEBHOOKS_PORT": str(receiver),
    }


def ingress_address(settings: Settings) -> str:
    """As a client on this machine reaches it, whatever it listens on."""
    host = settings.server.host
    is_any = host in {"", "0.0.0.0", "::"}  # noqa: S104 # compared, never bound
    return f"http://{'127.0.0.1' if is_any else host}:{settings.server.port}"


def simulator_address(environment: Mapping[str, str]) -> str:
    return f"http://127.0.0.1:{environment['PAYMENTS_SIMULATOR_PORT']}"


def _ingress(around: RunContext) -> Program:
    variables = {"PAYMENTS_AUTH_MODE": around.environment.get("PAYMENTS_AUTH_MODE") or "open"}
    return _program(around, "ingress", ("api",), ingress_address(around.settings), variables)


def _simulator(around: RunContext) -> Program:
    address = simulator_address(around.environment)
    return _program(around, "simulator", ("simulator",), address, {})


def _worker(around: RunContext, name: str, port: int) -> Program:
    variables = {
        "PAYMENTS_OBSERVABILITY_METRICS_HOST": "127.0.0.1",
        "PAYMENTS_OBSERVABILITY_METRICS_PORT": str(port),
    }
    return _program(around, name, _COMMANDS[name], f"http://127.0.0.1:{port}", variables)


def _demo(around: RunContext) -> Program:
    target = ingress_address(around.settings)
    return _program(around, "demo", ("cli", "demo", "--url", target), target, {})


def _program(
    around: RunContext,
    name: str,
    module: tuple[str, ...],
    address: str,
    variables: Mapping[str, str],
) -> Program:
    async def is_ready() -> bool:
        return await _is_ready(around.http, f"{address}/health/ready")

    return Program(
        name=name,
        command=(sys.executable, "-m", *module),
        directory=CODE,
        log=around.home.log(name),
        address=address,
        is_ready=is_ready,
        environment={**around.environment, **variables},
    )


async def _is_ready(http: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with http.get(url, timeout=_HEALTH_TIMEOUT) as answer:
            return answer.status == HTTPStatus.OK
    except (aiohttp.ClientError, TimeoutError):
        return False
