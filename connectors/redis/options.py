"""What the configuration file says about one Redis source."""

import re
from functools import cached_property
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from connectors import secret
from connectors.filesystem.pattern import Pattern
from connectors.lake.identity import Kind, Rule, parse_path
from connectors.redis import keys

KEY_FIELDS = ("key", "type", "expire_time", "value")
ENTRY_FIELDS = ("key", "entry", "value")
LAST_USE = "last_use"
_TYPE = re.compile(r"[a-z0-9_]{1,63}")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Identity(_Strict):
    """How a collection names a person."""

    type: str = ""
    """Identity type; the name itself when empty."""
    match: Literal["exact", "case_fold"] = "exact"
    unique: bool = False
    field: str | None = None
    """Where the identity stands in the content: a hash's field, a stream entry's, or a path in JSON."""
    value: Kind = "string"
    """With `field`: what the field holds."""
    prefix: str = ""
    """Without `field`, for members and hash fields: text before the identity, such as `user:`."""


class LastUse(_Strict):
    """Where a record says when it was last used: in one of three places."""

    field: str | None = None
    """A hash's field, a stream entry's, or a path in JSON."""
    score: bool = False
    """The score, of a sorted set's member."""
    id: bool = False
    """The time in a stream's id: the entry's own; of a key that is a stream, the newest entry's."""
    unit: Literal["time", "seconds", "milliseconds"] = "time"
    """With `field` and `score`: a time as text, or a number since 1970."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if [self.field is not None, self.score, self.id].count(True) != 1:
            raise ValueError("give one of field, score: true and id: true")
        if self.score and self.unit == "time":
            raise ValueError("a score is a number: give unit: seconds or milliseconds")
        if self.id and self.unit != "time":
            raise ValueError("unit belongs to field and score: an id has its own")
        return self


class Collection(_Strict):
    """One kind of key, or of entry in keys that many people share."""

    key: str
    """Pattern of keys."""
    each: Literal["key", "member", "field", "entry"] = "key"
    """What a record is: a key, a member of a set, sorted set or list, a hash's field, an entry of a stream."""
    identity: dict[str, Identity] = Field(default_factory=dict)
    last_use: LastUse | None = None
    no_personal_data: bool = False

    @cached_property
    def pattern(self) -> Pattern:
        """The pattern, compiled."""
        return keys.parse(self.key)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of identities, those in the pattern first."""
        return tuple(dict.fromkeys([*self.pattern.variables, *self.identity]))

    @property
    def inside(self) -> tuple[str, ...]:
        """Names of identities that stand in the content, in the order of `rules`."""
        return tuple(name for name, identity in self.identity.items() if identity.field is not None)

    @property
    def entries(self) -> tuple[str, ...]:
        """Names of identities that are the entry itself."""
        return () if self.each == "key" else tuple(n for n, i in self.identity.items() if i.field is None)

    @cached_property
    def rules(self) -> tuple[Rule, ...]:
        """The identities within the content."""
        return tuple(
            Rule(
                type=self.type_of(name),
                paths=(parse_path(self.identity[name].field or ""),),
                kind=self.identity[name].value,
                fold=self.identity[name].match == "case_fold",
            )
            for name in self.inside
        )

    @cached_property
    def looked_at(self) -> tuple[Rule, ...]:
        """What must be read of content to know whose it is and when it was last used."""
        if self.last_use is None or self.last_use.field is None:
            return self.rules
        return (*self.rules, Rule("", (parse_path(self.last_use.field),)))

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of an exported record, in order."""
        first, *rest, last = KEY_FIELDS if self.each == "key" else ENTRY_FIELDS
        return (first, *self.names, *rest, *([LAST_USE] if self.last_use else []), last)

    @property
    def primary_key(self) -> tuple[str, ...]:
        """What identifies a record. An element may stand in a list more than once."""
        return {"key": ("key",), "member": ()}.get(self.each, ("key", "entry"))

    @property
    def scans_entries(self) -> bool:
        """Whether a search looks into contents, since no name alone says whose an entry is."""
        return bool(self.inside) or any(identity.match == "case_fold" for identity in self.identity.values())

    @property
    def scans(self) -> bool:
        """Whether a search goes through all keys, or through all that a shared key holds."""
        if self.scans_entries:
            return True
        return any(keys.name(self.pattern, name, "") is None for name in self.pattern.variables) or (
            self.each != "key" and keys.fixed(self.pattern) is None
        )

    def type_of(self, name: str) -> str:
        """The identity type that a name stands for."""
        return self.identity[name].type or name

    @model_validator(mode="after")
    def _check(self) -> Self:
        variables = set(self.pattern.variables)
        if self.no_personal_data and (variables or self.identity or self.each != "key"):
            raise ValueError("a collection without personal data has a key, and neither identity nor each")
        if not self.no_personal_data and not self.identity:
            raise ValueError("no identity is given; or say no_personal_data: true")
        if variables - set(self.identity):
            raise ValueError("every name in the pattern must stand under identity")
        if variables and self.each != "key":
            raise ValueError("a key that names a person is one record: leave out each, or the name in the key")
        if self.last_use is not None:
            self._check_last_use(self.last_use)
        for name, identity in self.identity.items():
            self._check_identity(name, identity, in_key=name in variables)
        return self

    def _check_last_use(self, last_use: LastUse) -> None:
        if self.no_personal_data:
            raise ValueError("last_use belongs to a collection with personal data")
        if last_use.score and self.each != "member":
            raise ValueError("last_use.score belongs to members of a sorted set: each: member")
        if last_use.id and self.each not in ("key", "entry"):
            raise ValueError("last_use.id belongs to streams: each: entry, or keys that are streams")

    def _check_identity(self, name: str, identity: Identity, *, in_key: bool) -> None:
        if name in (*KEY_FIELDS, *ENTRY_FIELDS, LAST_USE):
            raise ValueError(f"{name} is a field of every record: choose another name and give its type")
        if not _TYPE.fullmatch(self.type_of(name)):
            raise ValueError(f"identity.{name}.type: 1 to 63 lower-case letters, digits and underscores")
        if in_key == (identity.field is not None) and self.each == "key":
            raise ValueError(f"identity.{name} stands in the key, or in a field of the content: in one of them")
        if self.each == "entry" and identity.field is None:
            raise ValueError(f"identity.{name}.field: say which field of a stream's entry holds it")
        if identity.field is None and identity.value != "string":
            raise ValueError(f"identity.{name}.value belongs to a field")
        if identity.prefix and (identity.field is not None or self.each not in ("member", "field")):
            raise ValueError(f"identity.{name}.prefix belongs to an identity that is a member or a hash's field")


class Options(_Strict):
    """`options` of a source of kind `redis`."""

    url: SecretStr | None = None
    url_file: Path | None = None
    ca_file: Path | None = None
    timeout: float = Field(default=10.0, gt=0, le=300)
    """Seconds that one command may take."""
    encrypted_at_rest: bool | None = None
    max_records_per_subject: int = Field(default=10_000, ge=1)
    collections: dict[str, Collection] = Field(min_length=1)

    @model_validator(mode="after")
    def _one_address(self) -> Self:
        secret.check_one("url", self.url, self.url_file)
        return self

    def owner(self, key: str) -> str | None:
        """The collection that a key belongs to: the first one that matches it."""
        return next((name for name, c in self.collections.items() if keys.read(c.pattern, key) is not None), None)
