"""What the configuration file says about collections in an object store."""

import re
from functools import cached_property
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from connectors.filesystem.pattern import Pattern, parse
from connectors.lake.identity import Kind, Rule, parse_path
from connectors.lake.search import Format

OBJECT_FIELDS = ("path", "version", "state", "size", "modified_time", "media_type", "content", "sha256")
LAKE_FIELDS = ("object", "record")
_TYPE = re.compile(r"[a-z0-9_]{1,63}")


class Strict(BaseModel):
    """No unknown keys, no changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Identity(Strict):
    """How a collection names a person."""

    type: str = ""
    """Identity type; the name itself when empty."""
    match: Literal["exact", "case_fold"] = "exact"
    unique: bool = False
    tag: str = ""
    """Objects: the tag that holds it, instead of a place in the pattern."""
    metadata: str = ""
    """Objects: the metadata entry that holds it."""
    field: str | None = None
    """Lake: path of the field."""
    fields: list[str] | None = None
    """Lake: paths of the parts of a composite id."""
    separator: str = ""
    """Lake: what stands between the parts in a request's identity."""
    value: Kind = "string"
    """Lake: what the field holds."""


class Collection(Strict):
    """One kind of object, or of record within objects."""

    objects: str = ""
    """Pattern of keys; each object is one person's."""
    lake: str = ""
    """Pattern of keys; each object holds records of many people."""
    format: Format | None = None
    delimiter: str = Field(default=",", min_length=1, max_length=1)
    fields: dict[str, str] = Field(default_factory=dict)
    """Lake: top-level fields of a record that are told apart, with their Table Schema types."""
    shared_records: Literal["block", "delete"] = "block"
    """Lake: what a record that names other people too does to an erasure."""
    identity: dict[str, Identity] = Field(default_factory=dict)
    no_personal_data: bool = False

    @cached_property
    def pattern(self) -> Pattern:
        """The pattern of its keys."""
        return parse(self.lake or self.objects)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of identities, those in the pattern first."""
        return tuple(dict.fromkeys([*self.pattern.variables, *self.identity]))

    @property
    def tagged(self) -> tuple[str, ...]:
        """Names that stand in tags or metadata."""
        return tuple(name for name, identity in self.identity.items() if identity.tag or identity.metadata)

    def type_of(self, name: str) -> str:
        """The identity type that a name stands for."""
        return self.identity[name].type or name

    @property
    def record_fields(self) -> tuple[str, ...]:
        """The fields of an exported record, in order."""
        if self.lake:
            return (LAKE_FIELDS[0], *self.names, *self.fields, LAKE_FIELDS[1])
        return (OBJECT_FIELDS[0], *self.names, *OBJECT_FIELDS[1:])

    @cached_property
    def rules(self) -> tuple[Rule, ...]:
        """Lake: the identities as rules, in the order of `names`."""
        return tuple(
            Rule(
                type=self.type_of(name),
                paths=tuple(parse_path(path) for path in (identity.fields or [identity.field or name])),
                kind=identity.value,
                fold=identity.match == "case_fold",
                separator=identity.separator,
            )
            for name, identity in self.identity.items()
        )

    @model_validator(mode="after")
    def _check(self) -> "Collection":
        if bool(self.objects) == bool(self.lake):
            raise ValueError("give either objects or lake: a pattern of keys")
        variables = set(self.pattern.variables)
        if self.no_personal_data and (variables or self.identity):
            raise ValueError("a collection without personal data has no identity: remove one of the two")
        if not self.no_personal_data and not self.identity:
            raise ValueError("no identity is given; or say no_personal_data: true")
        for name in self.identity:
            if name in self.fields or name in (*OBJECT_FIELDS, *LAKE_FIELDS):
                raise ValueError(f"{name} is a field of every record: choose another name and give its type")
            if not _TYPE.fullmatch(self.type_of(name)):
                raise ValueError(f"identity.{name}.type: 1 to 63 lower-case letters, digits and underscores")
        if self.lake:
            self._check_lake(variables)
        else:
            self._check_objects(variables)
        return self

    def _check_lake(self, variables: set[str]) -> None:
        if variables:
            raise ValueError("the keys of a lake name nobody: use * in the pattern, and say the field under identity")
        if self.format is None and not self.no_personal_data:
            raise ValueError("format is jsonl, csv or parquet")
        if set(self.fields) & set(LAKE_FIELDS):
            raise ValueError("fields can't be called object or record")
        for name, identity in self.identity.items():
            if identity.tag or identity.metadata:
                raise ValueError(f"identity.{name}: a lake's people stand in fields, not in tags or metadata")
            if identity.field is not None and identity.fields is not None:
                raise ValueError(f"identity.{name}: give field or fields")
            if bool(identity.separator) != (len(identity.fields or ()) > 1):
                raise ValueError(f"identity.{name}: a separator belongs to several fields, and they to it")

    def _check_objects(self, variables: set[str]) -> None:
        if self.format or self.fields:
            raise ValueError("format and fields belong to a lake")
        for name, identity in self.identity.items():
            if identity.field or identity.fields or identity.separator or identity.value != "string":
                raise ValueError(f"identity.{name}: field, fields, separator and value belong to a lake")
            if [name in variables, bool(identity.tag), bool(identity.metadata)].count(True) != 1:
                raise ValueError(f"identity.{name} stands in the pattern, or in a tag, or in metadata: in one of them")
        if variables - set(self.identity):
            raise ValueError("every name in the pattern must stand under identity")


class Options(Strict):
    """What every kind of object store is told."""

    encrypted_at_rest: bool | None = None
    """What Probe says where the store doesn't tell."""
    max_records_per_subject: int = Field(default=10_000, ge=1)
    abandoned_after_hours: float = Field(default=24, ge=0)
    """When an upload that was begun counts as given up."""
    unguarded_rewrites: Literal["block", "allow"] = "block"
    """What to do about lake objects that the store can't replace without the risk of overwriting another writer."""
    collections: dict[str, Collection] = Field(min_length=1)
