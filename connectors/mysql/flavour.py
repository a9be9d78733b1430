"""Which of the two servers it is: they differ in little, and where they do it is said here."""

import re
from dataclasses import dataclass

from connectors.relational.sql import Sql
from dsrkit.errors import DsrError

_OLDEST = {True: (10, 11, 0), False: (8, 0, 22)}


@dataclass(frozen=True)
class Flavour:
    """A server's kind."""

    mariadb: bool

    @property
    def exact(self) -> Sql:
        """The collation of utf8mb4 that tells apart whatever isn't the same characters, trailing spaces included."""
        return Sql("utf8mb4_nopad_bin" if self.mariadb else "utf8mb4_0900_bin")

    @property
    def reopens(self) -> bool:
        """Whether a statement may name a temporary table twice."""
        return self.mariadb


def flavour(version: str, source: str) -> Flavour:
    """From VERSION(). SOURCE_REJECTED for a server that is too old for what the connector writes."""
    mariadb = "mariadb" in version.lower()
    numbers = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    found = tuple(map(int, numbers.groups())) if numbers else (0, 0, 0)
    if found < _OLDEST[mariadb]:
        oldest = ".".join(map(str, _OLDEST[mariadb]))
        why = f"the server is older than {'MariaDB' if mariadb else 'MySQL'} {oldest}"
        raise DsrError("SOURCE_REJECTED", f"{why[0].upper()}{why[1:]}. Upgrade it.", source=source, why=why)
    return Flavour(mariadb)
