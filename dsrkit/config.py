"""Reads a process's configuration from the environment, once, in `__main__`."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


class ConfigError(ValueError):
    """The environment can't be used; the text names the variable and says what to do."""


def from_env(cls: type[T], env: Mapping[str, str]) -> T:
    """Builds the frozen dataclass `cls`: field `listen` is read from `DSR_LISTEN`, and so on.

    Fields are str, int, float, bool or Path. An absent variable without default and an unknown `DSR_*` are errors.
    """
    fields = {f"DSR_{field.name.upper()}": field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    unknown = sorted(name for name in env if name.startswith("DSR_") and name not in fields)
    if unknown:
        raise ConfigError(f"unknown variable {unknown[0]}; known here: {', '.join(sorted(fields))}")
    values: dict[str, Any] = {}
    for variable, field in fields.items():
        text = env.get(variable)
        if text is None:
            if field.default is dataclasses.MISSING:
                raise ConfigError(f"{variable} is not set; this process needs it")
            continue
        values[field.name] = _parse(variable, text, field.type)
    return cls(**values)


def _parse(variable: str, text: str, kind: Any) -> Any:
    try:
        if kind is bool:
            return {"true": True, "false": False}[text]
        if kind in (int, float, Path):
            return kind(text)
        return text
    except (ValueError, KeyError):
        raise ConfigError(f"{variable} must be of type {kind.__name__}") from None
