"""What a call may hold at most, checked before a backend sees it."""

import re
from collections.abc import Iterable, Sequence

from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import Grant

from dsrkit.errors import DsrError, invalid

MAX_SUBJECTS = 1_000
MAX_IDENTITIES = 100
MAX_REF_LENGTH = 128
MAX_VALUE_LENGTH = 1_024
_TYPE = re.compile(r"[a-z0-9_]{1,63}")


def check_subjects(subjects: Sequence[pb.Subject], path: str = "subjects[{}]") -> None:
    """FIELD_INVALID for too many subjects, a reference used twice, or a subject that can't be one."""
    if len(subjects) > MAX_SUBJECTS:
        raise invalid("subjects", f"there are more than {MAX_SUBJECTS:,}; send the rest in another call")
    references = set()
    for index, subject in enumerate(subjects):
        where = path.format(index)
        check_subject(subject, where)
        if subject.subject_ref in references:
            raise invalid(f"{where}.subject_ref", "another subject of this call has the same reference")
        references.add(subject.subject_ref)


def check_subject(subject: pb.Subject, path: str = "subject") -> None:
    """FIELD_INVALID for a subject that can't be one."""
    if len(subject.subject_ref) > MAX_REF_LENGTH:
        raise invalid(f"{path}.subject_ref", f"it is longer than {MAX_REF_LENGTH} characters")
    if len(subject.identities) > MAX_IDENTITIES:
        raise invalid(f"{path}.identities", f"there are more than {MAX_IDENTITIES}")
    for index, identity in enumerate(subject.identities):
        if not _TYPE.fullmatch(identity.type):
            raise invalid(f"{path}.identities[{index}].type", "1 to 63 lower-case letters, digits and underscores")
        check_value(identity.value, f"{path}.identities[{index}].value")
    _check_unique(f"{path}.people", (choice.collection for choice in subject.people))


def check_value(value: str, path: str) -> None:
    """FIELD_INVALID for a value that is too long."""
    if len(value) > MAX_VALUE_LENGTH:
        raise invalid(path, f"it is longer than {MAX_VALUE_LENGTH:,} characters")


def check_expected(subjects: Sequence[pb.EraseSubject]) -> None:
    """FIELD_INVALID for a collection that is expected twice, or a negative count."""
    for index, subject in enumerate(subjects):
        check_counts(subject.expected, f"subjects[{index}].expected")


def check_counts(counts: Sequence[pb.CollectionCount], path: str) -> None:
    """FIELD_INVALID for a collection that is expected twice, or a negative count."""
    _check_unique(path, (count.collection for count in counts))
    for position, count in enumerate(counts):
        if count.records < 0:
            raise invalid(f"{path}[{position}].records", "it is negative")


def check_amendments(grant: Grant, *, preview: bool) -> None:
    """GRANT_INVALID for a grant that nobody approved, where something is to be set. FIELD_INVALID for amendments that
    are none, or contradict each other."""
    if not preview and not (grant.approver and grant.plan_digest):
        raise DsrError("GRANT_INVALID", "Nobody approved this; the grant permits a preview alone.", why="APPROVER")
    if not grant.amendments:
        raise invalid("grant.amendments", "there are none")
    _check_unique("grant.amendments", (amendment.collection for amendment in grant.amendments))
    for index, amendment in enumerate(grant.amendments):
        where = f"grant.amendments[{index}]"
        flags = [*amendment.set_flags, *amendment.clear_flags]
        if not amendment.fields and not flags:
            raise invalid(where, "it sets nothing")
        for name, path in [(f.field, "fields") for f in amendment.fields] + [(f, "flags") for f in flags]:
            if not name:
                raise invalid(f"{where}.{path}", "a name is empty")
        if len({f.field for f in amendment.fields}) < len(amendment.fields):
            raise invalid(f"{where}.fields", "a field is named twice")
        if len(set(flags)) < len(flags):
            raise invalid(where, "a flag is named twice")


def check_instructions(instructions: Iterable[str], path: str) -> None:
    """FIELD_INVALID for a collection that is instructed twice: which one holds would be a guess."""
    _check_unique(path, instructions)


def _check_unique(path: str, collections: Iterable[str]) -> None:
    seen = set()
    for index, name in enumerate(collections):
        if name in seen:
            raise invalid(f"{path}[{index}].collection", "it is named twice")
        seen.add(name)
