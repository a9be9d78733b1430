"""Every rule, in the order in which they run: first what changes nothing, late the amendment and the one erasure."""

from collections.abc import Sequence

from dsr.conformance.check import Check
from dsr.conformance.checks import (
    amend,
    calls,
    count,
    describe,
    erase,
    export,
    grants,
    identity,
    inactive,
    locate,
    probe,
    subjects,
    verify,
    whole,
)

SECTIONS: dict[str, Sequence[Check]] = {
    "Every call": calls.CHECKS,
    "Describe": describe.CHECKS,
    "Probe": probe.CHECKS,
    "Subjects of Locate, Erase and Verify": subjects.CHECKS,
    "Locate": locate.CHECKS,
    "Grants": grants.CHECKS,
    "Export": (*export.CHECKS, *identity.CHECKS),
    "ListInactive": inactive.CHECKS,
    "CountPeople": count.CHECKS,
    "Amend": amend.CHECKS,
    "Erase": erase.CHECKS,
    "Verify": verify.CHECKS,
    "Return and Destroy": whole.CHECKS,
    "Every error": calls.ERROR_CHECKS,
}
"""Heading of the table in docs/connector-spec.md to its rows."""

ALL: Sequence[Check] = tuple(check for checks in SECTIONS.values() for check in checks)
