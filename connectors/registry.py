"""Which kinds of backend there are: one line each. Modules are imported when a configuration first names the kind."""

import importlib
from collections.abc import Mapping
from typing import cast

from connectors.backend import BackendFactory

KINDS: Mapping[str, str] = {
    "filesystem": "connectors.filesystem",
    "mysql": "connectors.mysql",
    "postgres": "connectors.postgres",
    "redis": "connectors.redis",
    "s3": "connectors.s3",
    "sandbox": "connectors.sandbox",
    "swift": "connectors.swift",
}
"""Package of each kind. It offers `open_backend(config: SourceConfig) -> Backend`: checks the options, does no I/O."""
SANDBOXES = frozenset({"sandbox"})
"""Kinds that hold made-up people and nothing else. No setting makes one of another kind, or a live one of these."""


def factory(kind: str) -> BackendFactory:
    """The factory of a kind in `KINDS`."""
    return cast(BackendFactory, importlib.import_module(KINDS[kind]).open_backend)
