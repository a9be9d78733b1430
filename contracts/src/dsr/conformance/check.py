"""What a check is, and what can come of one."""

import enum
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from dsr.conformance.bench import Bench


class Failed(Exception):
    """The connector does not keep the rule. The text says what it did instead, without personal data."""


class NotApplicable(Exception):
    """The rule is about something the connector doesn't declare."""


class Unprepared(Exception):
    """The material for this rule is missing. The text says which."""


class Verdict(enum.Enum):
    """What came of a check."""

    HOLDS = "holds"
    FAILS = "fails"
    NOT_APPLICABLE = "not applicable"
    NOT_RUN = "not run"


class Check(ABC):
    """One rule: one row of a table in docs/connector-spec.md."""

    rule: ClassVar[str]
    """`section.name`, stable."""
    condition: ClassVar[str]
    """What the caller does."""
    code: ClassVar[str]
    """gRPC code, and the reason after a slash: `NOT_FOUND / NOT_FOUND`. `OK` for answers."""
    meaning: ClassVar[str]
    """What the answer says."""
    caller: ClassVar[str]
    """What the caller does next."""
    remedy: ClassVar[str]
    """How a connector that fails is mended."""

    @abstractmethod
    async def run(self, bench: "Bench") -> None:
        """Returns if the rule holds. Raises Failed, NotApplicable or Unprepared."""


@dataclass(frozen=True)
class Result:
    """A check and what came of it."""

    check: Check
    verdict: Verdict
    detail: str = ""
    remedy: str = ""
    """Instead of the check's own, where what is wrong isn't what the check is about."""


def require(condition: object, what: str) -> None:
    """Failed with `what` unless the condition holds."""
    if not condition:
        raise Failed(what)
