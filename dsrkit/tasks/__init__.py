"""Durable work: task rows are the truth, PgQueuer hands them to workers."""

from dsrkit.tasks.model import Done, NewTask, Task
from dsrkit.tasks.store import TaskStore
from dsrkit.tasks.worker import Worker

__all__ = ["Done", "NewTask", "Task", "TaskStore", "Worker"]
