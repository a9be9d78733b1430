"""Connector kind `postgres`. See docs/connectors/postgres.md."""

from connectors.backend import SourceConfig
from connectors.postgres.backend import PostgresBackend

__all__ = ["PostgresBackend", "open_backend"]


def open_backend(config: SourceConfig) -> PostgresBackend:
    """The backend of one source. FIELD_INVALID, naming the YAML path, where its options are wrong."""
    return PostgresBackend(config)
