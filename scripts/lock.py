"""Writes requirements.txt (what runs) and requirements-dev.txt (that and what tests and lint need): `make lock`.

Resolved from pyproject.toml and contracts/pyproject.toml for Python 3.11 to 3.13 on every system, with hashes and
without index addresses. `python scripts/lock.py PACKAGE…` upgrades only these; `--upgrade` everything.
"""

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
UV = Path(sys.executable).with_name("uv")
OWN = "dsr-contracts"
RUN, DEV = ROOT / "requirements.txt", ROOT / "requirements-dev.txt"
# On a platform that a project stopped building for, the last version it did build for.
ELSEWHERE = ["cryptography<=48.0.1 ; sys_platform == 'darwin' and platform_machine == 'x86_64'"]
HEADER = "# Written by `make lock` from pyproject.toml and contracts/pyproject.toml. Don't edit.\n"


def project(path: Path) -> dict[str, Any]:
    """The parsed pyproject.toml of a folder."""
    return tomllib.loads((path / "pyproject.toml").read_text())


def compile_to(target: Path, requirements: list[str], options: list[str]) -> None:
    """Resolves `requirements` into `target`. Versions already in it are kept unless `options` say otherwise."""
    command = [
        *(str(UV), "pip", "compile", "-", "--output-file", target.name, "--quiet"),
        *("--universal", "--python-version", "3.11", "--generate-hashes"),
        *("--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links"),
        *("--no-build", "--default-index", "https://pypi.org/simple"),
        *options,
    ]
    subprocess.run(command, input="\n".join(requirements), text=True, cwd=ROOT, check=True)  # noqa: S603 - our own
    target.write_text(HEADER + target.read_text().removeprefix(HEADER))


def main(upgrade: list[str]) -> None:
    """Writes both files. What runs has the versions it was tested with, so that the larger set is resolved first."""
    root, contracts = project(ROOT), project(ROOT / OWN.removeprefix("dsr-"))
    parts = [
        root["project"]["dependencies"],
        contracts["project"]["dependencies"],
        contracts["build-system"]["requires"],
    ]
    run = [line for part in parts for line in part if line != OWN] + ELSEWHERE
    options = [option for name in upgrade for option in (["--upgrade"] if name == "--upgrade" else ["-P", name])]
    compile_to(DEV, run + root["dependency-groups"]["dev"], options)
    compile_to(RUN, run, ["--constraint", DEV.name])


if __name__ == "__main__":
    main(sys.argv[1:])
