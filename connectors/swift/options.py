"""What the configuration file says about one Swift source."""

import json
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from connectors.objects.options import Options, Strict
from dsrkit.errors import DsrError

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class Credentials(Strict):
    """The content of `credentials_file`."""

    user: str = ""
    key: str = Field(default="", repr=False)
    """The API key (auth 1) or password (auth 3)."""
    user_domain: str = "Default"
    project: str = ""
    project_domain: str = "Default"
    application_credential_id: str = ""
    """Auth 3, instead of user and key."""
    application_credential_secret: str = Field(default="", repr=False)


class SwiftOptions(Options):
    """`options` of a source of kind `swift`."""

    container: str = Field(min_length=1, pattern=r"^[^/]+$")
    auth: Literal["1", "3"]
    """1: the key is sent in headers (Rackspace, Brightbox). 3: Keystone."""
    auth_url: str
    """Auth 1: the whole address. Auth 3: up to and with `/v3`."""
    region: str = ""
    """Auth 3: which of the catalogue's object stores; empty: the first."""
    credentials_file: Path
    ca_file: Path | None = None

    @model_validator(mode="after")
    def _check_swift(self) -> "SwiftOptions":
        if urlsplit(self.auth_url).scheme not in ("http", "https") or not urlsplit(self.auth_url).hostname:
            raise ValueError("auth_url is an address such as https://identity.example.com/v3")
        for name, collection in self.collections.items():
            if any(identity.tag for identity in collection.identity.values()):
                raise ValueError(f"collections.{name}: Swift has no tags; use metadata")
        return self

    def credentials(self, source: str) -> Credentials:
        """Read whenever a token is asked for. SOURCE_REJECTED if the file can't be used."""
        try:
            return Credentials.model_validate(json.loads(self.credentials_file.read_text()))
        except (OSError, ValueError):
            raise DsrError(
                "SOURCE_REJECTED",
                "credentials_file can't be read as JSON with user and key.",
                source=source,
                why="CREDENTIALS",
            ) from None


def private(address: str) -> bool:
    """Whether nobody can read along: encrypted, or this machine's own."""
    parts = urlsplit(address)
    return parts.scheme == "https" or parts.hostname in _LOOPBACK
