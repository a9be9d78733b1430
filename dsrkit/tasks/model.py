"""What a task is, what comes of one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True)
class Task:
    """One attempt of a task, or a task as it stands."""

    partner: str
    id: UUID
    owner: UUID
    step: str
    source: str | None
    round: int
    state: str
    attempt: int
    tries: int
    due_time: datetime
    waiting_reason: str | None
    records: int
    input: Mapping[str, Any]
    result: Mapping[str, Any]
    sealed: bytes | None
    create_time: datetime
    update_time: datetime

    @property
    def name(self) -> str:
        """The task's name for other processes."""
        return str(self.id)


@dataclass(frozen=True)
class NewTask:
    """A task to be done."""

    step: str
    source: str | None = None
    round: int = 0
    input: Mapping[str, Any] = field(default_factory=dict)
    due_time: datetime | None = None


@dataclass(frozen=True)
class Done:
    """A task's result: counts and facts in the open, personal data sealed."""

    records: int = 0
    result: Mapping[str, Any] = field(default_factory=dict)
    sealed: bytes | None = None
