"""Writes the three locks: `make lock`.

requirements-build.txt: what packages are built with, ours and those that are to be had as sources only.
requirements.txt: what runs. requirements-dev.txt: all of it, and what tests and lint need.

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
BUILD, RUN, DEV = (ROOT / f"requirements{suffix}.txt" for suffix in ("-build", "", "-dev"))
# bagit is to be had as sources only; it is built with setuptools-scm.
SOURCES, BUILT_WITH = ["bagit"], ["setuptools-scm"]
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
        *("--only-binary", ":all:", *(option for name in SOURCES for option in ("--no-binary", name))),
        *("--default-index", "https://pypi.org/simple"),
        *options,
    ]
    subprocess.run(command, input="\n".join(requirements), text=True, cwd=ROOT, check=True)  # noqa: S603 - our own
    target.write_text(HEADER + target.read_text().removeprefix(HEADER))


def main(upgrade: list[str]) -> None:
    """Writes all three. What runs has the versions it was tested with, so that the larger set is resolved first."""
    root, contracts = project(ROOT), project(ROOT / OWN.removeprefix("dsr-"))
    build = [*contracts["build-system"]["requires"], *BUILT_WITH]
    run = [*root["project"]["dependencies"], *contracts["project"]["dependencies"], *ELSEWHERE]
    run = [line for line in run if line != OWN]
    options = [option for name in upgrade for option in (["--upgrade"] if name == "--upgrade" else ["-P", name])]
    compile_to(DEV, build + run + root["dependency-groups"]["dev"], options)
    compile_to(RUN, run, ["--constraint", DEV.name])
    compile_to(BUILD, build, ["--constraint", DEV.name])


if __name__ == "__main__":
    main(sys.argv[1:])
