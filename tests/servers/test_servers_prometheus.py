"""Prometheus itself takes the alert rules, and raises and keeps quiet as it should."""

import json
import subprocess
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path

import yaml

from tests.servers.programs import find

FOLDER = Path(__file__).parents[2] / "deploy" / "observability"


def _promtool(*arguments: str) -> None:
    done = subprocess.run([find("promtool", "prometheus"), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_finds_no_fault() -> None:
    _promtool("check", "rules", "--lint-fatal", str(FOLDER / "alerts.yaml"))


def test_alerts_are_raised_when_they_should_be() -> None:
    _promtool("test", "rules", str(FOLDER / "alerts.test.yaml"))


def test_a_running_prometheus_evaluates_the_rules(server: Callable[[str], Mapping[str, str]]) -> None:
    url = f"{server('prometheus')['url']}/api/v1/rules"
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - on loopback
        groups = json.load(answer)["data"]["groups"]
    loaded = {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}
    ours = yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"]
    assert set(loaded) == {rule["alert"] for group in ours for rule in group["rules"]}
    assert "err" not in loaded.values()
