"""What the store says, as numbers, and what no metric may say."""

import pytest

from dsrkit.gauges import DUE, TASK_STATES, of_outbox, of_requests, of_tasks
from dsrkit.metrics import (
    METRICS,
    OUTBOX_AGE,
    REQUEST_OPEN,
    REQUEST_STALLED,
    REQUEST_TIME_TO_DUE,
    TASK_AGE,
    TASK_OPEN,
    TASK_RETRIED,
    TASK_STUCK,
    Metric,
)

FIXED = {
    "dsr.connector.kind",
    "dsr.connector.operation",
    "dsr.refusal.rule",
    "dsr.request.due",
    "dsr.request.state",
    "dsr.right",
    "dsr.task.state",
    "dsr.task.step",
    "dsr.tls.file",
    "error.type",
    "http.request.method",
    "http.response.status_code",
    "http.route",
    "rpc.method",
    "rpc.system.name",
}
"""Attributes whose values stand in the code: a new one is a decision (0030)."""


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_metrics_have_units_and_bounded_attributes(metric: Metric) -> None:
    assert metric.unit in ("s", "By") or (metric.unit.startswith("{") and metric.unit.endswith("}"))
    assert metric.description
    assert set(metric.attributes) <= FIXED
    assert bool(metric.boundaries) == (metric.kind == "histogram")


def test_names_are_unique() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS)


def test_nothing_open_is_told_as_nothing() -> None:
    tasks, requests = of_tasks([], ["locate"]), of_requests([], ["PENDING"])
    assert tasks[TASK_OPEN] == {("locate", state): 0 for state in TASK_STATES}
    assert tasks[TASK_STUCK] == {("locate",): 0}
    assert tasks[TASK_RETRIED] == {}
    assert requests[REQUEST_OPEN] == {("PENDING", due): 0 for due in DUE}
    assert requests[REQUEST_STALLED] == {(): 0}
    assert requests[REQUEST_TIME_TO_DUE] == {}  # there is no due time to wait for
    assert of_outbox(None) == {OUTBOX_AGE: {(): 0}}


def test_rows_of_one_step_add_up_and_the_oldest_counts() -> None:
    def row(reason: str | None, tasks: int, age: float, stuck: int) -> dict[str, object]:
        return {"step": "erase", "state": "waiting", "reason": reason, "tasks": tasks, "age": age, "stuck": stuck}

    found = of_tasks([row("SOURCE_BUSY", 2, 10.0, 1), row("INTERNAL", 3, 50.0, 3), row(None, 1, 1.0, 0)], [])
    assert found[TASK_OPEN] == {("erase", "waiting"): 6}
    assert found[TASK_AGE] == {("erase", "waiting"): 50}
    assert found[TASK_STUCK] == {("erase",): 4}
    assert found[TASK_RETRIED] == {("SOURCE_BUSY",): 2, ("INTERNAL",): 3}


def test_the_nearest_due_time_counts() -> None:
    def row(state: str, due: str, seconds: float) -> dict[str, object]:
        return {"state": state, "due": due, "requests": 2, "stalled": 1, "seconds": seconds}

    found = of_requests([row("PENDING", "later", 900.0), row("ERASING", "overdue", -5.0)], [])
    assert found[REQUEST_OPEN] == {("PENDING", "later"): 2, ("ERASING", "overdue"): 2}
    assert found[REQUEST_STALLED] == {(): 2}
    assert found[REQUEST_TIME_TO_DUE] == {(): -5}
