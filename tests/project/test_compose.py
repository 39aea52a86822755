"""docker-compose.yml is well-formed, on loopback only, and starts what our code accepts."""

import re
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.util import find_spec
from threading import Thread
from typing import Final

import yaml

from local.processes import PROCESSES
from tests.support.project.compose import (
    commands_of,
    differences,
    port_of,
    read_compose,
    scrape_differences,
)
from tests.support.project.tree import PACKAGES, ROOT
from tests.support.project.variables import variables
from topics.contracts.webhooks import Keyring
from topics.names import STAGES

DOCKERFILE: Final = ROOT / "deploy/Dockerfile"
PORTS: Final = {
    "api": {8080},
    "grafana": {3000},
    "jaeger": {16686, 4318, 14268},
    "kafka": {9092},
    "postgres": {5432},
    "prometheus": {9090},
    "redis": {6379},
    "simulator": {8090},
    "webhooks": {8091},
}
_KEY: Final = "PAYMENTS_WEBHOOK_KEY"
OUR_PROCESSES: Final = {"migrate": "cli migrate up"} | commands_of(PROCESSES)
# Runs each command in one process, because what they import is the cost of starting one.
ASK_FOR_HELP: Final = """
import runpy, sys
for command in sys.argv[1:]:
    module, *arguments = command.split()
    sys.argv = [module, *arguments, "--help"]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        print(command, ended.code or 0, sep="\\t", file=sys.stderr)
"""
COMPOSE: Final = read_compose()


def test_the_ports_are_the_documented_ones_and_on_loopback() -> None:
    """Nothing is reachable from another machine, and every documented port is there."""
    published = {
        name: {int(port.split(":")[1]) for port in service.ports}
        for name, service in COMPOSE.services.items()
        if service.ports
    }
    assert published == PORTS
    for service in COMPOSE.services.values():
        assert all(port.split(":")[1] == port.split(":")[2] for port in service.ports)


def test_images_are_pinned() -> None:
    """To a full version: what worked yesterday is what starts today. Our own is built here."""
    for name, service in COMPOSE.services.items():
        tag = service.image.rpartition(":")[2]
        assert service.build is not None or re.fullmatch(r"v?\d+\.\d+(\.\d+)?", tag), name


def test_dependencies_can_be_fulfilled() -> None:
    """Whoever is waited for can become healthy, or ends; and exists in every profile that waits."""
    for name, service in COMPOSE.services.items():
        for other, dependency in service.depends_on.items():
            awaited = COMPOSE.services[other]
            ends = dependency.condition == "service_completed_successfully"
            assert (awaited.restart == "no") == ends, (name, other)
            assert ends or (awaited.healthcheck is not None and awaited.healthcheck.test)
            assert set(awaited.profiles) <= set(service.profiles)


def test_only_our_processes_need_the_profile() -> None:
    """Without it the servers start alone, so that our processes can run beside them."""
    in_profile = {n for n, s in COMPOSE.services.items() if s.profiles == ["pipeline"]}
    assert in_profile == set(OUR_PROCESSES)
    assert all(not s.profiles for n, s in COMPOSE.services.items() if n not in in_profile)


def test_volumes_are_declared_and_mounted_files_exist() -> None:
    """A misspelt path would be made as an empty folder by Docker."""
    used: set[str] = set()
    for service in COMPOSE.services.values():
        for mount in service.volumes:
            source = mount.split(":")[0]
            if source.startswith("."):
                assert (ROOT / source).is_dir(), source
                assert mount.endswith(":ro")
            else:
                used.add(source)
    assert used == set(COMPOSE.volumes)


def test_every_variable_is_a_setting() -> None:
    """A misspelt variable would leave a default in place."""
    known = variables()
    for name in OUR_PROCESSES:
        assert COMPOSE.services[name].environment.keys() <= known, name


def test_a_webhook_endpoint_can_be_made_and_is_signed_for() -> None:
    """Whoever shows the secret and whoever signs with it derive it with the same key."""
    said = {name: COMPOSE.services[name].environment for name in OUR_PROCESSES}
    keys = {name: each[_KEY] for name, each in said.items() if _KEY in each}
    assert keys.keys() == {"api", "deliver"}
    (key,) = set(keys.values())
    assert (found := re.fullmatch(r"\$\{PAYMENTS_WEBHOOK_KEY:-(\S{32,})\}", key)) is not None
    assert Keyring.of(found[1]).current_id


def test_our_processes_listen_where_they_are_asked() -> None:
    """Health is asked on the port a process serves it on, inside its container."""
    for name in OUR_PROCESSES.keys() - {"migrate"}:
        service, port = COMPOSE.services[name], port_of(name)
        assert service.healthcheck is not None
        assert f"http://127.0.0.1:{port}/health/ready" in (service.healthcheck.test or [])[-1]


def test_compose_runs_what_the_table_says() -> None:
    """A service for each process, with its command, and none of ours besides."""
    assert differences(COMPOSE, PROCESSES) == []
    for command in OUR_PROCESSES.values():
        assert find_spec(f"{command.split()[0]}.__main__") is not None


def test_prometheus_scrapes_every_process_of_ours() -> None:
    """Each service, at the port it serves metrics on."""
    config = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    assert scrape_differences(config, PROCESSES) == []


def test_a_stage_waits_for_the_broker_that_brings_its_work() -> None:
    """Whoever reads a topic, and nobody else."""
    for stage in STAGES:
        waits = "kafka" in COMPOSE.services[stage.name].depends_on
        assert waits == (stage.topic is not None), stage.name


def test_no_health_check_asks_a_proxy() -> None:
    """Docker gives containers its own proxy's variables, and no proxy leads to their loopback."""
    checks = {
        tuple(one.healthcheck.test or ()) for one in COMPOSE.services.values() if one.healthcheck
    }
    by_http = [one for one in checks if one and "http://127" in one[-1]]
    ours = [one for one in by_http if one[1] == "python"]
    assert len(ours) == 3
    assert all(one[1:4] == ("wget", "-Y", "off") for one in set(by_http) - set(ours))
    for _, _, *arguments in ours:
        with HTTPServer(("127.0.0.1", 0), _Healthy) as server:
            Thread(target=server.handle_request, daemon=True).start()
            arguments[-1] = re.sub(
                r"127\.0\.0\.1:\d+", f"127.0.0.1:{server.server_port}", arguments[-1]
            )
            nowhere = {"http_proxy": "http://127.0.0.1:1", "HTTP_PROXY": "http://127.0.0.1:1"}
            subprocess.run([sys.executable, *arguments], env=nowhere, check=True)  # noqa: S603 - from the file


class _Healthy(BaseHTTPRequestHandler):
    """Whatever it is asked, it is well."""

    timeout = 30

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


def test_each_command_is_one_our_code_accepts() -> None:
    """With `--help` behind it, its arguments are parsed and nothing is started."""
    commands = [command for command in OUR_PROCESSES.values() if " " in command]
    asked = subprocess.run(  # noqa: S603 - constant arguments
        [sys.executable, "-c", ASK_FOR_HELP, *commands],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    exits = dict(line.rsplit("\t", 1) for line in asked.stderr.splitlines() if "\t" in line)
    assert exits == dict.fromkeys(commands, "0")


def test_the_image_is_hashed_pinned_and_unprivileged() -> None:
    """What is installed is what was reviewed, and it does not run as root."""
    text = DOCKERFILE.read_text()
    assert "--require-hashes" in text
    assert "--only-binary :all:" in text
    assert "index-url" not in text
    bases = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    assert all(re.fullmatch(r"python:3\.\d+\.\d+-slim", base) for base in bases)
    user = re.findall(r"^USER (\S+)", text, re.MULTILINE)
    assert user == ["payments"]
    assert text.index("USER") > text.rindex("FROM")


def test_the_image_is_built_from_every_package_and_nothing_else() -> None:
    """A package left out would be missed at the first import, in a container only."""
    lines = (ROOT / "deploy/Dockerfile.dockerignore").read_text().splitlines()
    kept = {line.removeprefix("!") for line in lines if line.startswith("!")}
    packages = {package for package in PACKAGES if (ROOT / package).is_dir()}
    assert packages <= kept
    assert {"pyproject.toml", "requirements.txt", "migrations"} <= kept
    assert "tests" not in kept
