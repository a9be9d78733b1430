"""What `make test` leaves out is said, and is all of it."""

import re
import tomllib
from pathlib import Path

from tests.support.left_out import LEFT_OUT, left_out

ROOT = Path(__file__).parents[2]


def test_a_run_of_everything_says_what_it_left_out() -> None:
    said = left_out(whole=True, marks="not long")
    assert "make trials" in said
    assert "make servers conformance test-servers" in said
    assert "\n" not in said
    assert "make trials" not in left_out(whole=True, marks="")
    assert left_out(whole=False, marks="not long") == ""


def test_it_names_targets_that_there_are() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(" ".join(LEFT_OUT.values()).split()) - {"make"} <= targets


def test_no_folder_with_tests_is_forgotten() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    folders = {f"tests/{path.relative_to(ROOT / 'tests').parts[0]}" for path in (ROOT / "tests").rglob("test_*.py")}
    assert folders == {*settings["testpaths"], "tests/servers"}
    assert "-m 'not long'" in settings["addopts"]
