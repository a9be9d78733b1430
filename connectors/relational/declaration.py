"""What a catalogue can't know, as the operator declares it: who owns what, who is a person, what needs no search."""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from dsrkit.errors import invalid

Ownership = Literal["OWNED", "SHARED", "LOOKUP"]
Constant = bool | int | str
IdentityType = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]{1,63}$")]
Seconds = Annotated[timedelta, Field(gt=timedelta(0), le=timedelta(days=1))]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class IdentityDeclaration(_Strict):
    """How a person is known by a column."""

    type: IdentityType
    match: Literal["exact", "case_fold", "e164"] = "exact"
    unique: bool = False
    region: Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")] | None = None
    """ISO 3166 country in whose way national telephone numbers are written."""

    @model_validator(mode="after")
    def _region_is_for_telephones(self) -> Self:
        if self.region is not None and self.match != "e164":
            raise ValueError("region goes with match: e164 only; remove one of them")
        return self


class ReferenceDeclaration(_Strict):
    """Who a referring row belongs to; and where the database doesn't know the reference, what refers to what."""

    ownership: Ownership
    columns: tuple[str, ...] = ()
    target: str = ""
    target_columns: tuple[str, ...] = ()
    when: dict[str, Constant] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _columns_pair_up(self) -> Self:
        if len(self.columns) != len(self.target_columns):
            raise ValueError("columns and target_columns must name equally many columns, in the same order")
        if bool(self.columns) != bool(self.target):
            raise ValueError("columns, target and target_columns go together; give all or none of them")
        return self


class FlagDeclaration(_Strict):
    """A column that keeps a row from being processed, and its values where the flag is set and where it is cleared."""

    column: str
    set: Constant = True
    clear: Constant = False


def _long_form(value: object) -> object:
    return {"ownership": value} if isinstance(value, str) else value


class CollectionDeclaration(_Strict):
    """What a table is."""

    people: bool = False
    no_personal_data: bool = False
    identity: dict[str, IdentityDeclaration] = Field(default_factory=dict)
    references: dict[str, Annotated[ReferenceDeclaration, BeforeValidator(_long_form)]] = Field(default_factory=dict)
    soft_delete: str | None = None
    acknowledged: frozenset[str] = frozenset()
    scope_via: str | None = None
    amendable: tuple[str, ...] = ()
    flags: dict[Annotated[str, StringConstraints(min_length=1, max_length=200)], FlagDeclaration] = Field(
        default_factory=dict
    )

    @model_validator(mode="after")
    def _nothing_personal_about_nothing(self) -> Self:
        personal = self.people or self.identity or self.references or self.amendable or self.flags
        if self.no_personal_data and personal:
            raise ValueError(
                "no_personal_data excludes people, identity, references, amendable, flags; remove one side"
            )
        return self


class RelationalOptions(_Strict):
    """Options that every relational kind has."""

    schemas: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    scope: Annotated[dict[str, Constant], Field(min_length=1)] | None = None
    collections: dict[str, CollectionDeclaration] = Field(default_factory=dict)
    max_records_per_subject: Annotated[int, Field(ge=0)] = 10_000
    lock_timeout: Seconds = timedelta(seconds=2)
    statement_timeout: Seconds = timedelta(seconds=60)
    export_max_age: Seconds = timedelta(minutes=15)
    catalogue_max_age: Seconds = timedelta(minutes=1)
    journal_schema: Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_]{0,62}$")] = "dsr_journal"
    pool_size: Annotated[int, Field(ge=1, le=64)] = 4


O = TypeVar("O", bound=RelationalOptions)  # noqa: E741


def parse(kind: type[O], options: Mapping[str, Any], path: str = "options") -> O:
    """The options, or FIELD_INVALID naming the YAML path of the first thing wrong. Values are never quoted."""
    try:
        return kind.model_validate(dict(options))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join([path, *(str(step) for step in first["loc"] if not str(step).startswith("function-"))])
        why = re.sub(r"^Value error, ", "", first["msg"])
        if first["type"] == "extra_forbidden":
            why = "there is no such option; see docs/connectors"
    raise invalid(where, why.rstrip("."))
