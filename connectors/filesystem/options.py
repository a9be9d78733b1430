"""What the configuration file says about one filesystem source."""

import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from connectors.filesystem.pattern import Pattern, parse
from connectors.objects import options as objects

BUILT_IN_FIELDS = ("path", "size", "modified_time", "media_type", "content", "sha256")
_TYPE = re.compile(r"[a-z0-9_]{1,63}")


def _absolute(path: Path) -> Path:
    if not path.is_absolute() or ".." in path.parts:
        raise ValueError("give an absolute path without `..`")
    return path


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Identity(_Strict):
    """How a name in a pattern identifies a person."""

    type: str = ""
    """Identity type; the name itself when empty."""
    match: Literal["exact", "case_fold"] = "exact"
    unique: bool = False


class Collection(_Strict):
    """One kind of file."""

    pattern: str
    identity: dict[str, Identity] = Field(default_factory=dict)
    no_personal_data: bool = False

    @cached_property
    def compiled(self) -> Pattern:
        """The pattern, compiled."""
        return parse(self.pattern)

    def type_of(self, name: str) -> str:
        """The identity type that a name in the pattern stands for."""
        return self.identity[name].type or name

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of a record, in order."""
        return (BUILT_IN_FIELDS[0], *self.compiled.variables, *BUILT_IN_FIELDS[1:])

    @cached_property
    def as_objects(self) -> objects.Collection:
        """The same where a file is an object. It was checked here, by the rules of files."""
        given = ((name, i.type, i.match, i.unique) for name, i in self.identity.items())
        identity = {n: objects.Identity(type=kind, match=match, unique=unique) for n, kind, match, unique in given}
        return objects.Collection.model_construct(
            objects=self.pattern, identity=identity, no_personal_data=self.no_personal_data
        )

    @model_validator(mode="after")
    def _check(self) -> "Collection":
        names = set(self.compiled.variables)
        if self.no_personal_data and (names or self.identity):
            raise ValueError("a collection without personal data has no identity: remove one of the two")
        if not self.no_personal_data and not names:
            raise ValueError("the pattern names no identity, such as {customer_number}; or say no_personal_data: true")
        if names != set(self.identity):
            raise ValueError("the names in the pattern and under identity must be the same")
        for name in names:
            if name in BUILT_IN_FIELDS:
                raise ValueError(f"{name} is a field of every record: choose another name and give its type")
            if not _TYPE.fullmatch(self.type_of(name)):
                raise ValueError(f"identity.{name}.type: 1 to 63 lower-case letters, digits and underscores")
        return self


def _kind(value: object) -> str:
    return "lake" if isinstance(value, objects.Collection) or (isinstance(value, dict) and "lake" in value) else "files"


AnyCollection = Annotated[
    Annotated[Collection, Tag("files")] | Annotated[objects.Collection, Tag("lake")], Discriminator(_kind)
]


class Options(_Strict):
    """`options` of a source of kind `filesystem`."""

    root: Annotated[Path, AfterValidator(_absolute)]
    encrypted_at_rest: bool | None = None
    max_records_per_subject: int = Field(default=10_000, ge=1)
    unguarded_rewrites: Literal["block", "allow"] = "block"
    """What to do about lake files of which it can't be told whether somebody writes to them."""
    collections: dict[str, AnyCollection] = Field(min_length=1)

    @cached_property
    def files(self) -> Mapping[str, Collection]:
        """Collections in which a file is one person's."""
        return {name: c for name, c in self.collections.items() if isinstance(c, Collection)}

    @cached_property
    def all(self) -> objects.Options:
        """Every collection, as where a file is an object: for counting people, which only lists and reads."""
        found = {n: c.as_objects if isinstance(c, Collection) else c for n, c in self.collections.items()}
        return objects.Options.model_construct(collections=found)

    @cached_property
    def lakes(self) -> objects.Options | None:
        """Collections in which a file holds records of many people, as the search in lakes is told of them."""
        lakes = {name: c for name, c in self.collections.items() if isinstance(c, objects.Collection)}
        if not lakes:
            return None
        return objects.Options(
            max_records_per_subject=self.max_records_per_subject,
            unguarded_rewrites=self.unguarded_rewrites,
            collections=lakes,
        )
