"""What the configuration file says about one S3 source."""

import json
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from connectors.objects.options import Options, Strict
from dsrkit.errors import DsrError

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class Credentials(Strict):
    """The content of `credentials_file`."""

    access_key_id: str
    secret_access_key: str = Field(repr=False)
    session_token: str | None = Field(default=None, repr=False)


class S3Options(Options):
    """`options` of a source of kind `s3`."""

    bucket: str = Field(min_length=1)
    region: str = Field(min_length=1)
    credentials_file: Path
    endpoint: str = ""
    """Where the service is, such as `https://s3.example.com`; empty: Amazon's, of the region."""
    path_style: bool = True
    """The bucket stands in the path rather than in the host's name."""
    conditional_writes: bool | None = None
    """Whether the service heeds If-Match on uploads in parts and in buckets with versions too. Default: Amazon's does,
    others aren't relied on."""
    ca_file: Path | None = None
    """PEM file with the authorities that the endpoint's certificate is checked against, instead of the system's."""

    @model_validator(mode="after")
    def _check_endpoint(self) -> "S3Options":
        parts = urlsplit(self.endpoint)
        if self.endpoint and (parts.scheme not in ("http", "https") or not parts.hostname or parts.query):
            raise ValueError("endpoint is an address such as https://s3.example.com")
        return self

    @cached_property
    def encrypted(self) -> bool:
        """Whether the connection is encrypted and its other end verified."""
        return not self.endpoint.startswith("http://")

    @cached_property
    def loopback(self) -> bool:
        """Whether the service is on this machine."""
        return urlsplit(self.endpoint).hostname in _LOOPBACK

    @property
    def compares(self) -> bool:
        """Whether every write can be made conditional."""
        if self.conditional_writes is not None:
            return self.conditional_writes
        return not self.endpoint or (urlsplit(self.endpoint).hostname or "").endswith(".amazonaws.com")

    def credentials(self, source: str) -> Credentials:
        """Read when the first connection is made. SOURCE_REJECTED if the file can't be used."""
        try:
            return Credentials.model_validate(json.loads(self.credentials_file.read_text()))
        except (OSError, ValueError):
            raise DsrError(
                "SOURCE_REJECTED",
                "credentials_file can't be read as JSON with access_key_id and secret_access_key.",
                source=source,
                why="CREDENTIALS",
            ) from None
