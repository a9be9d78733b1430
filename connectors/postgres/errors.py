"""Driver errors as ours. Their text may quote rows, so only codes and names of the catalogue are taken from them."""

import asyncpg

from dsrkit.errors import DsrError

_RETRY = "Nothing was changed by the statement that failed; the call may be repeated."
_REJECTED: dict[str, str] = {
    "22": "a value doesn't fit its column; see the declaration and the constants of the instructions",
    "25006": "the server is read only, a standby perhaps; the connector needs temporary tables",
    "42501": "the connector's role lacks a privilege; see Probe",
    "54": "a record is larger than the database can hand out as one line of JSON (1 GB)",
    "53100": "the database's disk is full",
    "P0001": "a trigger or function of the database refuses the change",
}


def translated(error: BaseException, source: str) -> DsrError:
    """The error of the contract."""
    match error:
        case asyncpg.LockNotAvailableError():
            return _busy(source, "LOCK_TIMEOUT")
        case asyncpg.DeadlockDetectedError() | asyncpg.SerializationError():
            return _busy(source, "DEADLOCK")
        case asyncpg.QueryCanceledError():
            message = f"A statement took longer than statement_timeout allows. {_RETRY}"
            return DsrError("SOURCE_TIMEOUT", message, source=source)
        case asyncpg.TooManyConnectionsError():
            return _busy(source, "TOO_MANY_CONNECTIONS")
        case asyncpg.IntegrityConstraintViolationError():
            where = f"{error.schema_name}.{error.table_name}"
            why = f"the constraint {error.constraint_name} of {where} refuses the change"
            return DsrError("SOURCE_REJECTED", f"Nothing was changed: {why}.", source=source, why=why)
        case asyncpg.UndefinedTableError() | asyncpg.UndefinedColumnError() | asyncpg.InvalidCachedStatementError():
            message = "The database's schema changed while the call ran; repeat it."
            return DsrError("SOURCE_BUSY", message, source=source, why="SCHEMA_CHANGED")
        case asyncpg.InvalidAuthorizationSpecificationError():
            message = "The database refuses the user or the password; see the DSN."
            return DsrError("SOURCE_UNAVAILABLE", message, source=source, why="LOGIN_REFUSED")
        case asyncpg.InvalidCatalogNameError():
            message = "The server has no database of that name; see the DSN."
            return DsrError("SOURCE_UNAVAILABLE", message, source=source, why="DATABASE_ABSENT")
        case asyncpg.PostgresConnectionError() | asyncpg.OperatorInterventionError() | asyncpg.InterfaceError():
            return _unavailable(source)
        case asyncpg.PostgresError():
            return _rejected(error, source)
    return _unavailable(source)


def _rejected(error: asyncpg.PostgresError, source: str) -> DsrError:
    code = error.sqlstate or ""
    for prefix, why in _REJECTED.items():
        if code.startswith(prefix):
            return DsrError("SOURCE_REJECTED", f"Nothing was changed: {why}.", source=source, why=why)
    why = f"the database answered with SQLSTATE {code}"
    return DsrError("SOURCE_REJECTED", f"Nothing was changed: {why}.", source=source, why=why)


def _busy(source: str, why: str) -> DsrError:
    return DsrError("SOURCE_BUSY", f"Others hold what is needed. {_RETRY}", source=source, why=why)


def _unavailable(source: str) -> DsrError:
    message = "The database can't be reached, or the connection to it broke. What was not answered may be asked again."
    return DsrError("SOURCE_UNAVAILABLE", message, source=source)
