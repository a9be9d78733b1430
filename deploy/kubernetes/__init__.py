"""Renders the manifests as `kubectl kustomize` does, for what of Kustomize they use, where there is no kubectl: in
tests and for `make deploy-test`. A test compares the two wherever kubectl is to be had."""

import copy
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

Manifest = dict[str, Any]
OVERLAYS = Path(__file__).parent / "overlays"
_CLUSTER_WIDE = frozenset({"Namespace"})
_KNOWN = frozenset({"apiVersion", "kind", "namespace", "resources", "images", "configMapGenerator", "patches"})
_ORIGIN = "generated-from"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same in C, ten times as fast
# Of Kustomize's own: digits and letters that spell no words.
_HASH_LETTERS = str.maketrans("013ae", "ghkmt")


def render(folder: Path) -> list[Manifest]:
    """The manifests of the kustomization in `folder`. ValueError for what this renderer doesn't know."""
    found = _collect(folder)
    names = {m["metadata"].pop(_ORIGIN): m["metadata"]["name"] for m in found if _ORIGIN in m["metadata"]}
    for node in (node for manifest in found for node in _nodes(manifest)):
        for key in ("configMap", "configMapKeyRef"):
            if isinstance(node.get(key), dict):
                node[key]["name"] = names.get(node[key]["name"], node[key]["name"])
    return found


def _collect(folder: Path) -> list[Manifest]:
    content = yaml.load((folder / "kustomization.yaml").read_text(), Loader=_LOADER)  # noqa: S506
    if set(content) - _KNOWN:
        raise ValueError(f"{folder}: {', '.join(sorted(set(content) - _KNOWN))} is not rendered here")
    found: list[Manifest] = []
    for name in content.get("resources", []):
        path = folder / name
        found += _collect(path) if path.is_dir() else list(yaml.load_all(path.read_text(), Loader=_LOADER))
    for entry in content.get("configMapGenerator", []):
        _generate(found, entry, folder)
    for manifest in found:
        for image in content.get("images", []):
            _rename_images(manifest, image)
        if "namespace" in content and manifest["kind"] not in _CLUSTER_WIDE:
            manifest["metadata"]["namespace"] = content["namespace"]
    for patch in content.get("patches", []):
        for manifest in found:
            if _is_target(manifest, patch["target"]):
                for operation in yaml.safe_load(patch["patch"]):
                    _apply(manifest, operation)
    return found


def _generate(found: list[Manifest], entry: dict[str, Any], folder: Path) -> None:
    """A ConfigMap whose name carries a digest of its content."""
    data = {name: (folder / name).read_text() for name in entry.get("files", [])}
    data |= dict(line.split("=", 1) for line in entry.get("literals", []))
    plain = {"data": data, "kind": "ConfigMap", "name": ""}
    # As Go writes JSON: without spaces, keys sorted, and these three escaped.
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    digest = hashlib.sha256(text.encode()).hexdigest()[:10].translate(_HASH_LETTERS)
    metadata = {"name": f"{entry['name']}-{digest}", _ORIGIN: entry["name"]}
    found.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _nodes(child)


def _rename_images(manifest: Manifest, image: dict[str, str]) -> None:
    for node in _nodes(manifest):
        if node.get("image") == image["name"]:
            node["image"] = f"{image['newName']}:{image['newTag']}"


def _is_target(manifest: Manifest, target: dict[str, str]) -> bool:
    name = manifest["metadata"]["name"]
    return manifest["kind"] == target["kind"] and bool(re.fullmatch(target.get("name", ".*"), name))


def _apply(manifest: Manifest, operation: dict[str, Any]) -> None:
    """One operation of a JSON patch (RFC 6902) on objects; of lists, at their end."""
    *path, last = operation["path"].lstrip("/").split("/")
    node: Any = manifest
    for key in path:
        node = node[int(key) if isinstance(node, list) else key]
    match operation["op"]:
        case "add" if isinstance(node, list) and last == "-":
            node.append(copy.deepcopy(operation["value"]))
        case "add":
            node[last] = operation["value"]
        case "replace" if last in node:
            node[last] = operation["value"]
        case _:
            raise ValueError(f"{operation['op']} {operation['path']} is not rendered here")
