"""What a search in a lake object finds, and how it can fail."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


class Unreadable(ValueError):
    """The object is not what it is declared to be. The text says why and never quotes it."""


class Archive(Unreadable):
    """It holds other files, and can't be opened."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A record of somebody who is looked for."""

    position: int
    """Line (from 1), or row (from 0) in Parquet."""
    people: frozenset[int]
    """Whose it is: indices of the people looked for."""
    shared: bool
    """It names somebody else as well."""
    names: tuple[tuple[int, str], ...]
    """(rule, value) of every identity in it."""
    data: bytes
    """The record as JSON. Equal records have equal data, wherever they stand."""


@dataclass(frozen=True, slots=True)
class Broken:
    """A record that can't be read. It is kept as it is."""

    position: int
    people: frozenset[int]
    """Those whose identity stands in it as text."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """Told before the records of an object that can be read and copied, and not be written again as it is."""


class Source(Protocol):
    """An object's bytes. Line formats read it in order; Parquet seeks."""

    def read(self, size: int = -1, /) -> bytes: ...

    def seek(self, offset: int, whence: int = 0, /) -> int: ...

    def tell(self) -> int: ...


Sink = Callable[[bytes], object]
"""Takes the new object's bytes, in order."""

Drop = Callable[[Hit], bool]
"""Whether a record is to go."""
