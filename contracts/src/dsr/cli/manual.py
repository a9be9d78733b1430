"""The contract's own words, for `--help`: what the comments of the protos say."""

import enum
import functools
import itertools
import json
import re
from collections.abc import Sequence
from importlib import resources
from typing import Any

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor, MethodDescriptor

from dsr.speaker import STAFF_ROLES
from dsr.v1 import options_pb2

_LEAD = re.compile(r"^(?:(?:Required|Optional|Input only)\. )+")


@functools.cache
def _texts() -> dict[str, str]:
    found: dict[str, str] = json.loads(resources.files("dsr.cli").joinpath("manual.json").read_text("utf-8"))
    return found


def of_method(method: MethodDescriptor) -> str:
    """What a call does, who may make it, and with which reasons it is refused: a paragraph each."""
    text, _, errors = _plain(_texts().get(method.full_name, "")).partition("Errors: ")
    return "\n\n".join(part for part in (text.strip(), _who(method), errors and f"Errors: {errors}") if part)


def of_field(field: FieldDescriptor) -> str:
    """What a field is; of one that has words to choose from, what each of them means."""
    text = _LEAD.sub("", _plain(_texts().get(field.full_name, "")))
    if field.enum_type is not None:
        text += "".join(f" {word}: {meaning}" for word, meaning in _meanings(field.enum_type))
    return text


def words(enumeration: EnumDescriptor) -> dict[str, int]:
    """The words for an enumeration's values, without what all of them begin with: `--kind objection`."""
    values = [value for value in enumeration.values if value.number]
    parts = zip(*(value.name.split("_") for value in values), strict=False)
    common = list(itertools.takewhile(lambda part: len(set(part)) == 1, parts)) if len(values) > 1 else []
    begin = sum(len(part[0]) + 1 for part in common) or len(enumeration.values[0].name.removesuffix("UNSPECIFIED"))
    return {value.name[begin:].lower().replace("_", "-"): value.number for value in values}


def choices(name: str, enumeration: EnumDescriptor) -> Any:
    """The same as a type of which the parser makes a choice."""
    return enum.Enum(name, {word: word for word in words(enumeration)})


def _meanings(enumeration: EnumDescriptor) -> Sequence[tuple[str, str]]:
    texts = _texts()
    return [
        (word, _plain(texts.get(f"{enumeration.full_name}.{enumeration.values_by_number[number].name}", "")))
        for word, number in words(enumeration).items()
    ]


def _who(method: MethodDescriptor) -> str:
    policy = method.GetOptions().Extensions[options_pb2.authorization]
    roles = [options_pb2.Role.Name(role) for role in policy.any_of]
    sides = {
        "partner": [_spoken(role) for role in roles if role not in STAFF_ROLES],
        "operator's staff": [_spoken(role) for role in roles if role in STAFF_ROLES],
    }
    said = [f"{side} ({', '.join(found)})" for side, found in sides.items() if found]
    return f"Who: {'; '.join(said)}{'. A person who signed in just now' if policy.person_only else ''}."


def _spoken(role: str) -> str:
    return role.removeprefix("ROLE_").lower().replace("_", " ")


def _plain(text: str) -> str:
    return text.replace("`", "").replace("[", "\\[")  # the help is shown with markup
