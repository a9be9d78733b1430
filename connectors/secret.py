"""A secret among a source's options: given there, or in a file."""

from pathlib import Path

from pydantic import SecretStr

from dsrkit.errors import invalid


def check_one(name: str, given: SecretStr | None, file: Path | None) -> None:
    """ValueError unless the option is given one way."""
    if (given is None) == (file is None):
        raise ValueError(f"give exactly one of {name} and {name}_file")


def read(name: str, given: SecretStr | None, file: Path | None) -> SecretStr:
    """The secret. FIELD_INVALID, which names the option and nothing of the file, if it can't be read."""
    if given is not None:
        return given
    try:
        return SecretStr((file or Path()).read_text().strip())
    except (OSError, UnicodeDecodeError):
        raise invalid(f"options.{name}_file", "it can't be read; see its path and permissions") from None
