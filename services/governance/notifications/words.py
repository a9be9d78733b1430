"""The dated list of kinds of notices, with their words and periods."""

from collections.abc import Mapping
from importlib import resources
from typing import Any

import yaml

DATA: Mapping[str, Any] = yaml.safe_load(resources.files(__package__).joinpath("notices.yaml").read_text())
KINDS: Mapping[str, Mapping[str, Any]] = DATA["kinds"]


def letter(
    kind: str,
    resource: str,
    facts: Mapping[str, str],
    operator: str,
    dpo_contact: str,
    mark: str = "",
    partner_dpo: str = "",
) -> tuple[str, str]:
    """Subject and text of an e-mail: names of resources, never personal data, and both DPOs' contacts (policy P18).

    `mark`: what a sandbox says of itself. `partner_dpo`: empty when the partner named none.
    """
    words = KINDS[kind]
    text = " ".join(words["text"].format(**facts).split())
    signature = f"{operator}\nData protection officer: {dpo_contact}\n"
    if partner_dpo:
        signature += f"Your own data protection officer: {partner_dpo}\n"
    subject = words["subject"].format(**facts)
    if mark:
        subject, text = f"[Sandbox] {subject}", f"{mark}\n\n{text}"
    return subject, f"{text}\n\n{resource}\n\n{signature}"
