"""Which version holds, what may be answered, what is refused. Pure."""

import re
from datetime import datetime, timedelta
from importlib import resources
from typing import Any

import yaml
from dsr.v1 import policy_pb2 as pb
from dsr.v1 import request_pb2

from services.governance.domain import refusal

_DATA: dict[str, Any] = yaml.safe_load(resources.files(__package__).joinpath("policy.yaml").read_text())
ANSWER_TIME = timedelta(days=_DATA["answer_days"])
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MOST_URL, _MOST_CHANGES = 500, 2000


def wrong(version: pb.PolicyVersion) -> tuple[str, str] | None:
    """What is wrong with a proposed version, as field and reason; None when it can be proposed."""
    if not version.text_url.startswith("https://") or len(version.text_url) > _MOST_URL or " " in version.text_url:
        return "text_url", f"must begin with https:// and have at most {_MOST_URL} characters, none of them a space"
    if not _SHA256.fullmatch(version.text_sha256):
        return "text_sha256", "must be 64 lower-case hexadecimal digits"
    if len(version.changes) > _MOST_CHANGES:
        return "changes", f"must have at most {_MOST_CHANGES:,} characters"
    return None


def too_late(answer_deadline: datetime, now: datetime) -> bool:
    """Whether partners would no longer have the time they were promised, were the version published now."""
    return answer_deadline < now + ANSWER_TIME


def deadline(answer_deadline: datetime, told: datetime) -> datetime:
    """Until when a partner may reject: nobody has less time because it was told later."""
    return max(answer_deadline, told + ANSWER_TIME)


def not_accepted(in_effect: int, accepted: int, dpo_contact: str) -> request_pb2.Refusal | None:
    """The refusal of new work for a partner that has accepted no version, once there is one in effect."""
    if in_effect == 0 or accepted > 0:
        return None
    lines = [f"version in effect: {in_effect}", "version accepted: none"]
    return refusal("POLICY_NOT_ACCEPTED", "Data Processing Policy P17; GDPR Art. 28(3)", lines, dpo_contact)
