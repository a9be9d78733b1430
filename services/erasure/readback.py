"""Reads back what a connector says it has anonymised or amended: values compared as they come, and none kept."""

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Any

from dsr.connector.v1 import connector_pb2
from dsr.connector.v1.grant_pb2 import Amendment, CollectionInstruction

from dsrkit.errors import DsrError

_LONGEST = 1024 * 1024
"""Bytes of a record of which only emptied fields are shown."""


Rules = dict[str, dict[str, Callable[[Any], bool]]]
"""By collection and field: whether a value that is read back is as it should be."""


class ReadBack:
    """Takes the messages of an export of the fields concerned; says how many records still hold something else."""

    def __init__(self, source: str, rules: Rules) -> None:
        self._source = source
        self._rules = rules
        self.records: dict[str, int] = {}
        self.left: dict[str, int] = {}
        self.fields: dict[str, set[str]] = {}
        self._collection: str | None = None
        self._rest = b""
        self._ended = False

    def take(self, part: connector_pb2.ExportResponse) -> None:
        """One message. SOURCE_INCONSISTENT when it doesn't follow from those before."""
        match part.WhichOneof("part"):
            case "header" if self._collection is None and part.header.collection in self._rules:
                self._collection = part.header.collection
                self.records.setdefault(self._collection, 0)
            case "data" if self._collection is not None:
                *lines, self._rest = (self._rest + part.data).split(b"\n")
                for line in lines:
                    self._compare(self._collection, line)
                if len(self._rest) > _LONGEST:
                    raise self._wrong("LINE")
            case "trailer" if self._collection is not None and not self._rest:
                if part.trailer.records != self.records[self._collection]:
                    raise self._wrong("COLLECTION_TOTALS")
                self._collection = None
            case "totals" if self._collection is None:
                self._ended = True
            case _:
                raise self._wrong("ORDER")

    def finish(self, located: Mapping[str, int]) -> None:
        """After the last message: what Locate still finds must have been shown. SOURCE_INCONSISTENT."""
        if not self._ended:
            raise self._wrong("NO_TOTALS")
        if any(self.records.get(name, 0) != located.get(name, 0) for name in self._rules):
            raise self._wrong("READ_BACK_COUNTS")

    def _compare(self, collection: str, line: bytes) -> None:
        try:
            record = json.loads(line, parse_float=Decimal)
        except (ValueError, RecursionError):
            raise self._wrong("LINE") from None
        if not isinstance(record, dict):
            raise self._wrong("LINE")
        self.records[collection] += 1
        wrong = {f for f, rule in self._rules[collection].items() if f not in record or not rule(record[f])}
        if wrong:
            self.left[collection] = self.left.get(collection, 0) + 1
            self.fields.setdefault(collection, set()).update(wrong)

    def _wrong(self, why: str) -> DsrError:
        text = "What was done can't be read back: the export contradicts itself."
        return DsrError("SOURCE_INCONSISTENT", text, source=self._source, why=why)


def emptied(instructions: Sequence[CollectionInstruction]) -> Rules:
    """What ANONYMISE leaves."""
    return {
        i.collection: {
            a.field: partial(_is, _constant(a.constant) if a.HasField("constant") else None) for a in i.anonymise
        }
        for i in instructions
        if i.action == CollectionInstruction.ACTION_ANONYMISE
    }


def amended(amendments: Sequence[Amendment], flags: Mapping[tuple[str, str], connector_pb2.Flag]) -> Rules:
    """What Amend leaves: of a field that was wrong in some records only, none has the wrong value any more."""
    rules: Rules = {}
    for amendment in amendments:
        found = rules.setdefault(amendment.collection, {})
        for field in amendment.fields:
            value = field.value if field.HasField("value") else None
            wrong = field.current_value if field.HasField("current_value") else None
            found[field.field] = partial(_is, value) if wrong is None else partial(_is_not, wrong, value)
        for names, cleared in ((amendment.set_flags, False), (amendment.clear_flags, True)):
            for name in names:
                flag = flags[amendment.collection, name]
                found[flag.field] = partial(_is, _constant(flag.clear_value if cleared else flag.set_value))
    return rules


def _is(wanted: Any, value: Any) -> bool:
    return same(value, wanted)


def _is_not(wrong: str, right: Any, value: Any) -> bool:
    return same(value, right) or not same(value, wrong)


def same(value: Any, constant: Any) -> bool:
    """Whether a value that was read back is the constant, in whichever spelling its type has; null is only null."""
    if value is None or constant is None:
        return value is None and constant is None
    if value == constant:
        return True
    if isinstance(value, dict | list) or isinstance(constant, dict | list):
        return False
    return any(
        (one := read(value)) is not None and one == read(constant) for read in (_text, _number, _instant, _bytes)
    )


def _constant(text: str) -> Any:
    """As the plan has it: JSON; text that is none stands for itself."""
    try:
        return json.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError):
        return text


def _text(value: Any) -> str:
    return str(value).rstrip(" ")  # char(n) is filled up


def _number(value: Any) -> Decimal | None:
    try:
        found = Decimal(str(int(value) if isinstance(value, bool) else value))
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


def _instant(value: Any) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _bytes(value: Any) -> bytes | None:
    text = str(value)
    try:
        return bytes.fromhex(text[2:]) if text.startswith("\\x") else base64.b64decode(text, validate=True)
    except ValueError:
        return None
