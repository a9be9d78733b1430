"""The contract's comments, by the full name of what they stand at."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorSet

# Field numbers of descriptor.proto, which the paths of source locations are made of.
_FILE = {"message_type": 4, "enum_type": 5, "service": 6}
_MESSAGE = {"field": 2, "nested_type": 3, "enum_type": 4}
_ENUM = {"value": 2}
_SERVICE = {"method": 2}
_ERRORS = re.compile(r"\bErrors: ([A-Z_,\s]+)\.")


def comments_of(files: FileDescriptorSet) -> dict[str, str]:
    """Comments of everything in `files`, which must have been built with source information."""
    found = {}
    for file in files.file:
        texts = {tuple(place.path): place.leading_comments for place in file.source_code_info.location}
        for name, path in _walk(file, _FILE, file.package, ()):
            if texts.get(path):
                found[name] = _tidy(texts[path])
    return found


def _walk(
    node: Any, children: Mapping[str, int], prefix: str, path: tuple[int, ...]
) -> Iterator[tuple[str, tuple[int, ...]]]:
    for attribute, number in children.items():
        for index, child in enumerate(getattr(node, attribute)):
            name, here = f"{prefix}.{child.name}", (*path, number, index)
            yield name, here
            inner = {"message_type": _MESSAGE, "nested_type": _MESSAGE, "enum_type": _ENUM, "service": _SERVICE}
            yield from _walk(child, inner.get(attribute, {}), name, here)


def _tidy(text: str) -> str:
    return re.sub(r"\s*\n\s*", " ", text.strip())


def errors_in(comment: str) -> list[str]:
    """The reasons that an RPC's comment announces: `Errors: NOT_FOUND, STATE_CONFLICT.`"""
    return [name.strip() for match in _ERRORS.findall(comment) for name in match.split(",")]


def without_errors(comment: str) -> str:
    """The comment without that sentence."""
    return _ERRORS.sub("", comment).strip()
