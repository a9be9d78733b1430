"""The kind `filesystem`."""

from connectors.backend import Backend, SourceConfig
from connectors.filesystem.backend import FilesystemBackend


def open_backend(config: SourceConfig) -> Backend:
    """A backend for one folder. Checks the options; touches no file."""
    return FilesystemBackend(config)
