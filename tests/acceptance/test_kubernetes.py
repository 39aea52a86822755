"""Each container of deploy/kubernetes as a plain process: command, environment and probes."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import aiohttp

from local.program import free_port
from tests.support.project.kubernetes import KUBERNETES, Manifest, pods_of, resolved
from tests.support.waiting import eventually, in_time

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Mapping
    from pathlib import Path

    from process.addresses import DatabaseAddress, RedisAddress

_SECRETS: Final = "/run/secrets/payments"
# Interpreters that all begin at once, on two cores that others use too.
_PATIENCE_S: Final = 120.0
_ENDS_WITHIN_S: Final = 40.0


@dataclass(frozen=True)
class Container:
    """One of our image, with what Kubernetes would give it, on ports and servers of the test's."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    probes: tuple[str, ...]

    @classmethod
    def of(
        cls, pod: Manifest, settings: Mapping[str, str], elsewhere: Mapping[str, str]
    ) -> Container:
        (one,) = pod["containers"]
        ports = {each["name"]: free_port() for each in one.get("ports", ())}
        named = {each["name"]: each["value"] for each in one["env"]}
        listening = {
            "PAYMENTS_OBSERVABILITY_METRICS_PORT": str(ports.get("metrics", 0)),
            "PAYMENTS_SERVER_PORT": str(ports.get("http", 8080)),
            "PAYMENTS_WEBHOOKS_PORT": str(ports.get("http", 8091)),
        }
        probes = (
            one[each]["httpGet"] for each in ("startupProbe", "readinessProbe") if each in one
        )
        python, *arguments = one["command"]
        assert python == "python"
        return cls(
            (sys.executable, *arguments),
            {**settings, **named, **listening, **elsewhere},
            tuple(f"http://127.0.0.1:{ports[probe['port']]}{probe['path']}" for probe in probes),
        )

    async def start(self, directory: Path) -> Process:
        """With nothing of this process' own environment but where programs are."""
        arguments = list(self.command)
        if "topics.relay" in arguments:  # the servers of the tests are others', too
            arguments += ["--slot", f"kubernetes_{uuid4().hex}"]
        return await asyncio.create_subprocess_exec(
            *arguments,
            cwd=directory,
            env={"PATH": os.environ["PATH"], **self.environment},
            stderr=asyncio.subprocess.DEVNULL,
        )


async def answers(url: str) -> bool:
    try:
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            return answer.status == 200
    except (aiohttp.ClientError, OSError):
        return False


async def test_each_container_is_healthy_by_its_own_probes(
    database: DatabaseAddress, redis_address: RedisAddress, kafka_bootstrap: str, tmp_path: Path
) -> None:
    """With secrets from files, and none of the variables of a developer's shell."""
    manifests = resolved(KUBERNETES / "overlays/local")
    (settings,) = (each["data"] for each in manifests if each["kind"] == "ConfigMap")
    (secrets,) = (each["stringData"] for each in manifests if each["kind"] == "Secret")
    for name, value in (secrets | {"database-password": database.password}).items():
        (tmp_path / name).write_text(value + "\n")
    elsewhere = {
        "PAYMENTS_DATABASE_HOST": database.host,
        "PAYMENTS_DATABASE_PORT": str(database.port),
        "PAYMENTS_DATABASE_USER": database.user,
        "PAYMENTS_DATABASE_DATABASE": database.database,
        "PAYMENTS_KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap,
        "PAYMENTS_REDIS_HOST": redis_address.host,
        "PAYMENTS_REDIS_PORT": str(redis_address.port),
        "PAYMENTS_OBSERVABILITY_METRICS_HOST": "127.0.0.1",
        "PAYMENTS_SERVER_HOST": "127.0.0.1",
        "PAYMENTS_SERVER_SHUTDOWN_DELAY": "0",
        "PAYMENTS_WEBHOOKS_HOST": "127.0.0.1",
    }
    containers = {
        name: Container.of(_with_secrets(pod, tmp_path), settings, elsewhere)
        for name, pod in pods_of(manifests)
        if "serviceAccountName" in pod
    }
    migrating = await containers.pop("migrate").start(tmp_path)
    assert await migrating.wait() == 0
    processes = {name: await each.start(tmp_path) for name, each in containers.items()}
    try:
        for name, container in containers.items():
            assert len(container.probes) == 2

            async def is_well(name: str = name, probes: tuple[str, ...] = container.probes) -> bool:
                assert processes[name].returncode is None, f"{name} ended"
                return all([await answers(probe) for probe in probes])

            await eventually(is_well, within=_PATIENCE_S)
        for process in processes.values():
            process.terminate()
        async with in_time(_ENDS_WITHIN_S):
            codes = {name: await process.wait() for name, process in processes.items()}
        assert codes == dict.fromkeys(processes, 0)
    finally:
        for process in processes.values():
            if process.returncode is None:
                process.kill()
                await process.wait()


def _with_secrets(pod: Manifest, directory: Path) -> Manifest:
    """Mounted where a test may write."""
    for each in pod["containers"][0]["env"]:
        each["value"] = each["value"].replace(_SECRETS, str(directory))
    return pod
