"""Packages of what doesn't fit into memory, each built in a process of its own whose peak is measured."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("shape", "right", "megabytes", "limit"),
    [
        pytest.param("rows", "access", 300, 40, marks=pytest.mark.long),
        pytest.param("line", "access", 100, 40, marks=pytest.mark.long),
        ("file", "access", 100, 40),
        pytest.param("rows", "portability", 20, 80, marks=pytest.mark.long),
        ("file", "portability", 40, 80),
    ],
)
def test_memory_is_bounded(shape: str, right: str, megabytes: int, limit: int) -> None:
    command = [sys.executable, "-m", "tests.unit.package.large", shape, right, str(megabytes)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    size, total, grown, _ = result.stdout.split()
    assert int(size) >= megabytes * 1_000_000
    assert int(total) > 0
    assert int(grown) < limit
