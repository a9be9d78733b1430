"""Reads a downloaded package and compares it with what its sources hold."""

import hashlib
import json
import zipfile
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Package:
    """An unpacked package: a bag (RFC 8493) with a data package in it."""

    root: Path

    @classmethod
    def unpack(cls, archive: Path) -> "Package":
        """Unpacks beside the archive. ValueError if a member would land elsewhere, or the bag isn't whole."""
        target = archive.with_suffix("")
        with zipfile.ZipFile(archive) as file:
            bases = {name.partition("/")[0] for name in file.namelist()}
            if len(bases) != 1 or any(".." in Path(name).parts or name.startswith("/") for name in file.namelist()):
                raise ValueError(f"{archive} has members outside of one folder")
            file.extractall(target)
        package = cls(target / bases.pop())
        package._check()
        return package

    def _check(self) -> None:
        lines = (self.root / "manifest-sha256.txt").read_text().splitlines()
        listed = {path: digest for digest, path in (line.split(maxsplit=1) for line in lines)}
        found = {f"data/{p.relative_to(self.root / 'data')}" for p in (self.root / "data").rglob("*") if p.is_file()}
        if listed.keys() != found:
            raise ValueError(f"{self.root}: the manifest lists other files than there are")
        for path, digest in listed.items():
            if hashlib.sha256((self.root / path).read_bytes()).hexdigest() != digest:
                raise ValueError(f"{self.root}: {path} is not what the manifest says")

    @property
    def page(self) -> Path:
        """The page for a person to read."""
        return self.root / "index.html"

    def counts(self, source: str) -> dict[str, int]:
        """Records by collection."""
        return {path.stem: len(_lines(path)) for path in sorted((self.root / "data" / source).glob("*.jsonl"))}

    def records(self, source: str, collection: str) -> list[dict[str, Any]]:
        """The records of a collection; numbers with decimals as they are written."""
        path = self.root / "data" / source / f"{collection}.jsonl"
        return [json.loads(line, parse_float=str) for line in _lines(path)] if path.exists() else []

    def files(self, source: str = "files") -> set[str]:
        """SHA-256 of every file that the source holds as a file."""
        folder = self.root / "data" / "files" / source
        return {hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*") if p.is_file()}


def equal(
    found: Iterable[Mapping[str, Any]], wanted: Iterable[Mapping[str, Any]], without: Collection[str] = ()
) -> bool:
    """Whether these are the same records in whatever order, each as often, but for the fields withheld."""
    kept = ({key: value for key, value in record.items() if key not in without} for record in wanted)
    return sorted(map(_canonical, found)) == sorted(map(_canonical, kept))


def _lines(path: Path) -> list[str]:
    return path.read_text().removesuffix("\n").split("\n")  # not splitlines(): text may hold other line ends


def _canonical(record: Mapping[str, Any]) -> str:
    # PostgreSQL writes one and the same address with or without its prefix length, by the way it is asked.
    return json.dumps(
        {k: v.removesuffix("/32") if isinstance(v, str) else v for k, v in record.items()}, sort_keys=True
    )
