"""deploy/kubernetes: valid, the same as the processes' table, and safe in what it lets a pod do."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from typing import Any, Final

import kubernetes_validate
import pytest
import yaml

from local.processes import PROCESSES
from process.lifecycle import CLEANUP_S
from process.settings import ServerSettings
from tests.support.project.compose import read_compose
from tests.support.project.kubernetes import (
    KUBERNETES,
    OVERLAYS,
    RULE,
    Manifest,
    differences,
    pods_of,
    resolved,
    rule,
)
from tests.support.project.variables import variables
from topics.names import STAGES

# The oldest whose pods know all that is said here: `sleep` before a stop.
_OLDEST: Final = "1.30"
_NEWEST: Final = "1.36"
# What others define: their schemas come with their operators.
_OPERATORS: Final = frozenset({"ScaledObject", "PodMonitor", "PrometheusRule"})
_LISTENERS: Final = {"api": 8080, "webhooks": 8091}
_METRICS: Final = 9100


def overlay(name: str) -> list[Manifest]:
    return resolved(KUBERNETES / "overlays" / name)


def ours(name: str) -> dict[str, Manifest]:
    """The pods of our image that are no stand-in for others."""
    pods = dict(pods_of(overlay(name)))
    return {each: pod for each, pod in pods.items() if "serviceAccountName" in pod}


@pytest.mark.parametrize("version", [_OLDEST, _NEWEST])
@pytest.mark.parametrize("name", OVERLAYS)
def test_every_manifest_is_one_of_its_kind(name: str, version: str) -> None:
    """By Kubernetes' own schemas, and without a field that they do not know."""
    for each in overlay(name):
        if each["kind"] not in _OPERATORS:
            kubernetes_validate.validate(each, version, strict=True)


@pytest.mark.parametrize("name", OVERLAYS)
def test_kustomize_puts_the_same_together(name: str) -> None:
    """Where the machine has it; names that it makes of a content are known by their beginning."""
    command = _kustomize()
    built = subprocess.run(  # noqa: S603 - of PATH
        [*command, str(KUBERNETES / "overlays" / name)], capture_output=True, text=True, check=True
    )
    generated = re.sub(r"(payments(?:-settings)?)-[a-z0-9]{10}\b", r"\1", built.stdout)
    theirs = [each for each in yaml.safe_load_all(generated) if each]
    assert _known(theirs) == _known(overlay(name))


def _kustomize() -> list[str]:
    for words in (["kustomize", "build"], ["kubectl", "kustomize"]):
        if path := shutil.which(words[0]):
            return [path, words[1]]
    pytest.skip("this machine has neither kustomize nor kubectl")


def _known(manifests: list[Manifest]) -> dict[tuple[str, str], Manifest]:
    """By kind and name, without what is another way to say the same."""
    return {
        (each["kind"], each["metadata"]["name"]): _sorted(each)
        for each in manifests
        if each["kind"] != "Secret"
    }


def _sorted(value: Any) -> Any:  # noqa: ANN401 - as deep as it is
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    if isinstance(value, list) and all(isinstance(each, dict) for each in value):
        return sorted((_sorted(each) for each in value), key=repr)
    return value


def test_pods_run_what_the_table_says() -> None:
    """One deployment for each process, with its command, and none of ours besides."""
    assert differences(overlay("local"), PROCESSES) == []
    deployed = [each for each in PROCESSES if each.name != "simulator"]
    assert differences(overlay("production"), deployed) == []


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_variable_is_a_setting(name: str) -> None:
    """A misspelt one would leave a default in place; a secret is named by its file."""
    known = variables()
    known |= {f"{each}_FILE" for each in known}
    for each in overlay(name):
        if each["kind"] == "ConfigMap":
            assert each["data"].keys() <= known
    for pod in ours(name).values():
        said = {each["name"]: each for each in pod["containers"][0]["env"]}
        assert said.keys() <= known
        assert all(each.endswith("_FILE") for each in said)


@pytest.mark.parametrize("name", OVERLAYS)
def test_a_pod_may_do_nothing_that_it_need_not(name: str) -> None:
    """And is told of no Service, whose name could be a variable of ours."""
    assert ours(name)
    for pod in ours(name).values():
        assert pod["enableServiceLinks"] is False
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        (container,) = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert "limits" in container["resources"]
        assert "cpu" not in container["resources"]["limits"]


@pytest.mark.parametrize("name", OVERLAYS)
def test_who_is_told_to_stop_has_the_time_it_was_promised(name: str) -> None:
    """Before the pod is killed: what waits before the stop, the drain, and what comes after."""
    drain_s = ServerSettings.model_fields["shutdown_timeout_seconds"].default + CLEANUP_S
    for pod in ours(name).values():
        stop = pod["containers"][0].get("lifecycle", {}).get("preStop", {})
        before_s = stop.get("sleep", {}).get("seconds", 0)
        assert pod["terminationGracePeriodSeconds"] > before_s + drain_s + 1
        assert bool(before_s) == any(each["name"] == "http" for each in _ports(pod))


def _ports(pod: Manifest) -> list[Manifest]:
    return list(pod["containers"][0].get("ports", ()))


def test_ports_are_those_that_processes_listen_on() -> None:
    """As the settings have them by default, and where health and metrics are said to be."""
    settings = {
        line.split("=")[0]: line.split("=")[1]
        for line in (KUBERNETES / "base/settings.env").read_text().splitlines()
    }
    assert settings["PAYMENTS_OBSERVABILITY_METRICS_PORT"] == str(_METRICS)
    pods = ours("production")
    for name, pod in pods.items():
        ports = {each["name"]: each["containerPort"] for each in _ports(pod)}
        listens = {"http": _LISTENERS[name]} if name in _LISTENERS else {}
        assert ports == ({} if name == "migrate" else {"metrics": _METRICS} | listens), name


def test_every_deployment_has_a_budget_and_no_more_workers_than_partitions() -> None:
    """A node is drained without a stage left, and nobody is started who would have nothing."""
    manifests = overlay("production")
    deployments = {each["metadata"]["name"] for each in manifests if each["kind"] == "Deployment"}
    budgets = {
        each["metadata"]["name"]: each["spec"]["selector"]["matchLabels"]
        for each in manifests
        if each["kind"] == "PodDisruptionBudget"
    }
    assert budgets == {name: {"app.kubernetes.io/name": name} for name in deployments}
    partitions = {stage.name: stage.topic.partitions for stage in STAGES if stage.topic}
    scaled = [each for each in manifests if each["kind"] == "ScaledObject"]
    assert {each["metadata"]["name"] for each in scaled} == {"charge", "refund"}
    for each in manifests:
        if each["kind"] == "Deployment":
            is_scaled = each["metadata"]["name"] in {"api", "charge", "refund"}
            assert ("replicas" in each["spec"]) is not is_scaled, each["metadata"]["name"]
    for each in scaled:
        name = each["spec"]["scaleTargetRef"]["name"]
        assert each["spec"]["maxReplicaCount"] == partitions[name]
        assert f'group="payments.{name}"' in each["spec"]["triggers"][0]["metadata"]["query"]


def test_alerts_are_prometheus_own() -> None:
    """`python -m tests.support.project.kubernetes` writes them after every change."""
    assert RULE.read_text() == rule()


def test_the_local_servers_are_those_of_compose() -> None:
    compose = read_compose()
    images = {
        name: pod["containers"][0]["image"]
        for name, pod in pods_of(overlay("local"))
        if pod["containers"][0]["name"] == "server"
    }
    assert images == {name: compose.services[name].image for name in ("postgres", "redis", "kafka")}


def test_each_command_is_one_our_code_accepts() -> None:
    """As far as its module is one that runs."""
    for pod in ours("production").values():
        python, module, name, *_ = pod["containers"][0]["command"]
        assert (python, module) == ("python", "-m")
        found = subprocess.run(  # noqa: S603 - constant arguments
            [sys.executable, "-c", f"import importlib.util as i; assert i.find_spec('{name}')"],
            check=False,
        )
        assert found.returncode == 0
