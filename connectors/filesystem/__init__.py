"""The kind `filesystem`."""

from connectors.backend import Backend, SourceConfig


def open_backend(config: SourceConfig) -> Backend:
    """A backend for one folder. Checks the options; touches no file."""
    # Not above: the object stores take parts of this package, and this backend parts of theirs.
    from connectors.filesystem.backend import FilesystemBackend

    return FilesystemBackend(config)
