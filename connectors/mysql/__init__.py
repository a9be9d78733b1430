"""Connector kind `mysql`: MariaDB and MySQL. See docs/connectors/mysql.md."""

from connectors.backend import SourceConfig
from connectors.mysql.backend import MysqlBackend

__all__ = ["MysqlBackend", "open_backend"]


def open_backend(config: SourceConfig) -> MysqlBackend:
    """The backend of one source. FIELD_INVALID, naming the YAML path, where its options are wrong."""
    return MysqlBackend(config)
