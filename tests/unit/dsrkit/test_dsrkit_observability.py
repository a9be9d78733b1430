"""Dashboard and alert rules speak of metrics, attributes and values that there are, and of all of them."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from dsrkit.errors import CODES
from dsrkit.gauges import DUE, TASK_STATES
from dsrkit.metrics import METRICS, Metric

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "deploy" / "observability"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"] for rule in group["rules"]
]
DASHBOARD = json.loads((FOLDER / "dashboard.json").read_text())
TARGETS = [target for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]
EXPRESSIONS = [rule["expr"] for rule in RULES] + [target["expr"] for target in TARGETS]
_SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}
_UNITS = {"s": "_seconds", "By": "_bytes"}
_VALUES = {
    "dsr_request_due": set(DUE),
    "dsr_task_state": set(TASK_STATES),
    "error_type": set(CODES),
    "job": {f"dsr-{name}" for name in ("access", "portability", "erasure", "governance", "gateway", "connectors")},
}


def prometheus(metric: Metric) -> Iterator[str]:
    """Its series, as OpenTelemetry's translation for Prometheus names them."""
    stem = metric.name.replace(".", "_") + _UNITS.get(metric.unit, "")
    for suffix in _SUFFIXES[metric.kind]:
        yield stem + suffix


SERIES = {name: metric for metric in METRICS for name in prometheus(metric)}
_SELECTOR = re.compile(r"\b((?:dsr|rpc|http)_[a-z0-9_]+)(?:\{([^}]*)\})?")
_CLAUSE = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")


def selectors(expression: str) -> list[tuple[str, str]]:
    """Every series that an expression reads, with its matchers."""
    return _SELECTOR.findall(_CLAUSE.sub("", expression))


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_expressions_read_what_there_is(expression: str) -> None:
    read = selectors(expression)
    assert read
    labels = set()
    for name, matchers in read:
        assert name in SERIES, f"there is no {name}"
        known = {attribute.replace(".", "_") for attribute in SERIES[name].attributes} | {"job", "instance"}
        labels |= known
        for label, _, value in re.findall(r'([a-z_]+)\s*(=~|!~|!=|=)\s*"([^"]*)"', matchers):
            assert label in known, f"{name} has no {label}"
            for part in value.split("|") if label in _VALUES else ():
                assert part in _VALUES[label] | {"", "$job"}, f"{label} is never {part}"
    for clause in _CLAUSE.findall(expression):
        used = {label.strip() for label in clause.split(",")} - {"", "le"}
        assert used <= labels, f"nothing here has {used - labels}"


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_every_metric_is_on_the_dashboard(metric: Metric) -> None:
    shown = {name for target in TARGETS for name, _ in selectors(target["expr"])}
    assert shown & set(prometheus(metric))


def test_every_metric_is_explained() -> None:
    table = dict(re.findall(r"^\| `([a-z_.]+)` \| ([^|]+) \|", (ROOT / "docs" / "operating.md").read_text(), re.M))
    assert table == {metric.name: metric.unit for metric in METRICS}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_alert_has_a_severity_and_a_section_that_says_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["annotations"]["summary"]
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    headings = re.findall(r"^#+ (.+)$", (ROOT / page).read_text(), re.M)
    assert anchor == rule["alert"].lower()
    assert rule["alert"] in headings


def test_every_alert_is_tested_by_promtool() -> None:
    tests = yaml.safe_load((FOLDER / "alerts.test.yaml").read_text())["tests"]
    fires = {case["alertname"] for test in tests for case in test["alert_rule_test"] if case["exp_alerts"]}
    assert fires == {rule["alert"] for rule in RULES}


def test_steps_in_matchers_are_steps_of_ours() -> None:
    text = " ".join(path.read_text() for path in (ROOT / "services").rglob("*.py"))
    text += (ROOT / "dsrkit" / "requests" / "runtime.py").read_text()
    for expression in EXPRESSIONS:
        for steps in re.findall(r'dsr_task_step[=!~]+"([^"]+)"', expression):
            for step in steps.split("|"):
                assert f'"{step}": ' in text, f"there is no step {step}"


def test_the_dashboard_is_one_that_grafana_takes() -> None:
    assert DASHBOARD["schemaVersion"] >= 36
    identifiers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(identifiers)) == len(identifiers)
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in DASHBOARD["panels"]}
    assert len(places) == len(identifiers)
    for target in TARGETS:
        assert target["datasource"]["uid"] == "${datasource}"
        for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
            assert label in target["expr"], f"{target['expr']} has no {label}"
