"""Plants faults in a copy of the project, one at a time, and says which of them the tests notice.

`python -m tests.mutants [WORD …]` (`make mutants`): only faults whose name has one of the words. Exit code 1 if a fault
goes unnoticed, or can't be planted because the code has changed.
"""

import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
_FOLDERS = ("connectors", "contracts", "deploy", "dsrkit", "gateway", "services", "tests", "scripts", "docs", "protos")
_SECONDS = 240


@dataclass(frozen=True)
class Fault:
    """A text that is replaced by another, and the tests that must fail then."""

    name: str
    file: str
    find: str
    replace: str
    tests: str


def plant(fault: Fault, copy: Path) -> str:
    """Puts the fault into the copy; returns what was there. LookupError when its text isn't there exactly once."""
    path = copy / fault.file
    text = path.read_text()
    if text.count(fault.find) != 1:
        raise LookupError(f"{fault.file} has the text {text.count(fault.find)} times: mend tests/mutants/faults.yaml")
    path.write_text(text.replace(fault.find, fault.replace))
    return text


def run(fault: Fault, copy: Path) -> str:
    """`noticed`, `UNNOTICED`, or why the run says nothing."""
    words = shlex.split(fault.tests)
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *words]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True, timeout=_SECONDS, check=False)
    if done.returncode == 0:
        return "UNNOTICED"
    return "noticed" if done.returncode == 1 and " failed" in done.stdout else f"NO RESULT ({done.returncode})"


def main(words: list[str]) -> int:
    """Runs the faults; prints a line each."""
    faults = [Fault(**entry) for entry in yaml.safe_load((ROOT / "tests" / "mutants" / "faults.yaml").read_text())]
    chosen = [f for f in faults if not words or any(word in f.name for word in words)]
    bad = 0
    with tempfile.TemporaryDirectory(prefix="dsr-mutants-") as folder:
        copy = Path(folder)
        copy.chmod(0o755)
        for name in _FOLDERS:
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
        shutil.copy(ROOT / "pyproject.toml", copy)
        for fault in chosen:
            start = time.monotonic()
            try:
                before = plant(fault, copy)
            except LookupError as error:
                outcome = str(error)
            else:
                outcome = run(fault, copy)
                (copy / fault.file).write_text(before)
            bad += outcome != "noticed"
            print(f"{outcome:10} {time.monotonic() - start:5.1f} s  {fault.name}", flush=True)  # noqa: T201
    print(f"{len(chosen) - bad} of {len(chosen)} faults noticed")  # noqa: T201
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
