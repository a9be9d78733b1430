"""From what botocore raises to the contract's errors. Its texts, which hold keys and hosts, go no further."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import (  # type: ignore[import-untyped]
    BotoCoreError,
    ClientError,
    ConnectionError,
    ConnectTimeoutError,
    HTTPClientError,
    ReadTimeoutError,
)

from connectors.objects.store import Gone
from dsrkit.errors import DsrError

_MISSING = frozenset({"NoSuchKey", "NoSuchVersion", "404", "NotFound", "NoSuchUpload"})
_BUSY = frozenset({"SlowDown", "ServiceUnavailable", "503", "RequestTimeout", "OperationAborted", "429"})
_CREDENTIALS = frozenset({"InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "401"})
_DENIED = frozenset({"AccessDenied", "403", "Forbidden", "AllAccessDisabled"})


def code(error: ClientError) -> str:
    """The service's own code."""
    return str(error.response.get("Error", {}).get("Code", ""))


def status(error: ClientError) -> int:
    """The HTTP status."""
    metadata: Any = error.response.get("ResponseMetadata", {})
    return int(metadata.get("HTTPStatusCode", 0))


@contextmanager
def translated(source: str) -> Iterator[None]:
    """Raises Gone for what isn't there, DsrError for everything else that the service or the network does."""
    try:
        yield
    except ClientError as error:
        raise _translate(source, error) from None
    except (TimeoutError, ConnectTimeoutError, ReadTimeoutError):
        raise DsrError("SOURCE_TIMEOUT", "The object store took too long. Retry.", source=source) from None
    except (ConnectionError, HTTPClientError, OSError):
        raise DsrError("SOURCE_UNAVAILABLE", "The object store can't be reached. Retry.", source=source) from None
    except BotoCoreError:
        raise _rejected(source, "The object store can't be used as it is declared.", "CONFIGURATION") from None


def _translate(source: str, error: ClientError) -> Exception:
    name = code(error)
    if name in _MISSING:
        return Gone()
    if name == "NoSuchBucket":
        return _rejected(source, "There is no such bucket. Correct `bucket`, or create it.", "NO_BUCKET")
    if name in _CREDENTIALS:
        return _rejected(source, "The object store doesn't accept the credentials. Renew them.", "CREDENTIALS")
    if name in _DENIED:
        return _rejected(source, "The credentials don't permit this. Probe says what is missing.", "PERMISSION")
    if name == "InvalidObjectState":
        return _rejected(source, "An object is archived and can't be read. Restore it.", "ARCHIVED")
    if name in _BUSY:
        return DsrError("SOURCE_BUSY", "The object store asks for patience. Retry.", source=source)
    if status(error) >= 500:
        return DsrError("SOURCE_UNAVAILABLE", "The object store failed. Retry.", source=source)
    return _rejected(source, "The object store refuses the request.", "REQUEST")


def _rejected(source: str, message: str, why: str) -> DsrError:
    return DsrError("SOURCE_REJECTED", message, source=source, why=why)
