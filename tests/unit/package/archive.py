"""Reading a package back, with the tools of others."""

import io
import json
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bagit
from frictionless import Package, Resource, Schema


@dataclass(frozen=True)
class Archive:
    """An unpacked package."""

    data: bytes
    root: Path

    def read(self, path: str) -> bytes:
        """One file's bytes."""
        return (self.root / path).read_bytes()

    def json(self, path: str) -> Any:
        """One file's JSON."""
        return json.loads(self.read(path))

    def names(self) -> list[str]:
        """Every file, relative to the bag."""
        return sorted(p.relative_to(self.root).as_posix() for p in self.root.rglob("*") if p.is_file())


def unpack(pieces: Iterable[bytes], folder: Path) -> Archive:
    """Unpacks the archive into `folder`; checks its structure, every checksum and its descriptor."""
    data = b"".join(pieces)
    with zipfile.ZipFile(io.BytesIO(data)) as zipped:
        assert zipped.testzip() is None
        names = zipped.namelist()
        assert len(names) == len(set(names))
        roots = {name.split("/")[0] for name in names}
        assert len(roots) == 1
        zipped.extractall(folder)
    archive = Archive(data, folder / roots.pop())
    assert bagit.Bag(str(archive.root)).validate()
    _check_descriptor(archive)
    return archive


def _check_descriptor(archive: Archive) -> None:
    descriptor = archive.json("data/datapackage.json")
    described = Package.from_descriptor(descriptor, basepath=str(archive.root / "data"))
    assert described.resources
    assert {r["path"] for r in descriptor["resources"]} == {
        name.removeprefix("data/") for name in archive.names() if name.startswith("data/")
    } - {"datapackage.json"}
    for resource in descriptor["resources"]:
        if resource["format"] in ("csv", "jsonl"):
            report = _table(archive, resource).validate()
            assert report.valid, report.flatten(["type", "note"])


def _table(archive: Archive, resource: dict[str, Any]) -> Resource:
    path = archive.root / "data" / resource["path"]
    if resource["format"] == "csv":
        return Resource.from_descriptor(resource, basepath=str(archive.root / "data"))
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    fields = [field["name"] for field in resource["schema"]["fields"]]
    cells = [[row.get(name) for name in fields] for row in rows]
    return Resource(data=[fields, *cells], schema=Schema.from_descriptor(resource["schema"]))
