"""deploy/kubernetes as kustomize puts it together, and what it lacks of the processes' table.

`python -m tests.support.project.kubernetes` writes the operator's alerts, which are Prometheus'
own. Of kustomize only what these files use is understood: resources, components, strategic merge
patches, generated settings and secrets, images, replicas, labels and a namespace.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from tests.support.project.compose import commands_of
from tests.support.project.tree import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from local.processes import PlatformProcess

KUBERNETES: Final = ROOT / "deploy/kubernetes"
OVERLAYS: Final = ("local", "production")
ALERTS: Final = ROOT / "deploy/prometheus/alerts.yml"
RULE: Final = KUBERNETES / "components/prometheus-operator/alerts.yaml"

# A manifest is whatever its kind's schema says.
Manifest = dict[str, Any]

# By which the items of a list are one and the same to Kubernetes.
_KEYS: Final = ("name", "containerPort", "mountPath", "topologyKey")
_PODS: Final = frozenset({"Deployment", "Job", "StatefulSet"})


def rule() -> str:
    """The operator's alerts, as a file."""
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    head = "# deploy/prometheus/alerts.yml, by python -m tests.support.project.kubernetes\n"
    manifest = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "payments"},
        "spec": {"groups": groups},
    }
    return head + yaml.safe_dump(manifest, sort_keys=False, width=100)


def resolved(folder: Path, before: Iterable[Manifest] = ()) -> list[Manifest]:
    """Every manifest of a folder with a kustomization; a component is put onto those before."""
    asked = yaml.safe_load((folder / "kustomization.yaml").read_text())
    own = (one for each in asked.get("resources", ()) for one in _manifests(folder / each))
    found = [*before, *own]
    for each in asked.get("components", ()):
        found = resolved(folder / each, found)
    for kind in ("configMap", "secret"):
        for each in asked.get(f"{kind}Generator", ()):
            _generate(found, kind, each, folder)
    for patch in asked.get("patches", ()):
        _patch(found, yaml.safe_load((folder / patch["path"]).read_text()), patch.get("target"))
    for each in found:
        _finish(each, asked)
    return found


def pods_of(manifests: Iterable[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """The pod's spec of each that has one, by name."""
    for each in manifests:
        if each["kind"] in _PODS:
            yield each["metadata"]["name"], each["spec"]["template"]["spec"]


def differences(manifests: Iterable[Manifest], processes: Iterable[PlatformProcess]) -> list[str]:
    """What our pods run otherwise than the table says, a line each."""
    expected = {"migrate": "cli migrate up"} | commands_of(processes)
    actual = {
        name: " ".join(pod["containers"][0]["command"]).removeprefix("python -m ")
        for name, pod in pods_of(manifests)
        if pod["containers"][0]["name"] == "process"
    }
    return [
        f"{name}: {actual.get(name)!r} instead of {expected.get(name)!r}"
        for name in sorted(expected.keys() | actual.keys())
        if actual.get(name) != expected.get(name)
    ]


def _manifests(path: Path) -> list[Manifest]:
    if path.is_dir():
        return resolved(path)
    return [each for each in yaml.safe_load_all(path.read_text()) if each]


def _generate(found: list[Manifest], kind: str, asked: Manifest, folder: Path) -> None:
    lines = list(asked.get("literals", ()))
    for each in asked.get("envs", ()):
        lines += (folder / each).read_text().splitlines()
    values = dict(line.split("=", 1) for line in lines)
    if asked.get("behavior") == "merge":
        (merged,) = (one for one in found if one["metadata"]["name"] == asked["name"])
        merged["data"] |= values
        return
    data = "data" if kind == "configMap" else "stringData"
    named = {"kind": kind[0].upper() + kind[1:], "metadata": {"name": asked["name"]}}
    found.append({"apiVersion": "v1", **named, data: values})


def _patch(found: list[Manifest], patch: Manifest, target: Manifest | None) -> None:
    name = target.get("name", ".*") if target else patch["metadata"]["name"]
    kind = (target or patch)["kind"]
    for each in found:
        if each["kind"] == kind and re.fullmatch(name, each["metadata"]["name"]):
            each["spec"] = _merged(each["spec"], patch["spec"])


def _merged(old: object, new: object) -> Any:  # noqa: ANN401 - as deep as they are
    if isinstance(old, dict) and isinstance(new, dict):
        merged = {
            key: _merged(old[key], new[key]) if key in old and key in new else (old | new)[key]
            for key in old | new
        }
        # What is patched with nothing is taken away.
        return {key: value for key, value in merged.items() if new.get(key, value) is not None}
    if isinstance(old, list) and isinstance(new, list) and all(map(_key_of, old + new)):
        items = {_key_of(each): each for each in new}
        for each in old:
            key = _key_of(each)
            items[key] = _merged(each, items[key]) if key in items else each
        return list(items.values())
    return new


def _key_of(item: object) -> object:
    if not isinstance(item, dict):
        return None
    # An environment's variable and a port have other fields that look like a key, too.
    named = (item[key] for key in _KEYS if key in item)
    return next(named, None)


def _finish(manifest: Manifest, asked: Manifest) -> None:
    if "namespace" in asked:
        manifest["metadata"]["namespace"] = asked["namespace"]
    metadata = [manifest["metadata"]]
    if manifest["kind"] in _PODS:
        metadata.append(manifest["spec"]["template"]["metadata"])
    for labels in asked.get("labels", ()):
        for each in metadata:
            each["labels"] = each.get("labels", {}) | labels["pairs"]
    for each in asked.get("replicas", ()):
        if (manifest["kind"], manifest["metadata"]["name"]) == ("Deployment", each["name"]):
            manifest["spec"]["replicas"] = each["count"]
    for _, pod in pods_of([manifest]):
        for container in pod["containers"]:
            container["image"] = _image(container["image"], asked.get("images", ()))


def _image(image: str, asked: Iterable[Manifest]) -> str:
    for each in asked:
        if image == each["name"]:
            return f"{each.get('newName', image)}:{each['newTag']}"
    return image


if __name__ == "__main__":
    RULE.write_text(rule())
