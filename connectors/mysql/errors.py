"""Driver errors as ours. Their text may quote rows, so only numbers and names of the catalogue are taken from them."""

import re

from asyncmy import errors

from dsrkit.errors import DsrError

_RETRY = "Nothing was changed by the statement that failed; the call may be repeated."
_BUSY = {1205: "LOCK_TIMEOUT", 1213: "DEADLOCK", 1020: "DEADLOCK", 1040: "TOO_MANY_CONNECTIONS"}
_BUSY |= {1203: "TOO_MANY_CONNECTIONS", 1226: "TOO_MANY_CONNECTIONS"}
_TIMEOUT = frozenset({1317, 1969, 3024})
_SCHEMA = frozenset({1051, 1054, 1146, 1412, 1615})
_LOGIN = frozenset({1044, 1045, 1049, 1130, 1698, 1820, 1862, 4151})
_PRIVILEGE = frozenset({1142, 1143, 1227, 1370})
_CONSTRAINT = frozenset({1048, 1062, 1216, 1217, 1451, 1452, 3819, 4025})
_VALUE = frozenset({1264, 1265, 1292, 1366, 1406, 1411, 1441})
_REJECTED: dict[int, str] = {
    1021: "the database's disk is full",
    1114: "a table of the database is full",
    1153: "a record is larger than max_allowed_packet allows; raise it on the server",
    1301: "a record is larger than max_allowed_packet allows; raise it on the server",
    1290: "the server is read only; name its primary in the dsn",
    1792: "the server is read only; name its primary in the dsn",
    1836: "the server is read only; name its primary in the dsn",
    1644: "a trigger or function of the database refuses the change",
    1665: "binlog_format is STATEMENT, which keeps changes out of READ COMMITTED transactions; make it ROW or MIXED",
}
# Names of the catalogue, in backquotes; a value stands in straight quotes.
_NAMES = re.compile(r"\(`([^`]+)`\.`([^`]+)`, CONSTRAINT `([^`]+)`")


def translated(error: BaseException, source: str) -> DsrError:
    """The error of the contract."""
    number = error.args[0] if isinstance(error, errors.Error) and error.args else None
    if not isinstance(number, int) or number == 0 or 2000 <= number < 3000:
        return _unavailable(source)
    if number in _BUSY:
        return DsrError("SOURCE_BUSY", f"Others hold what is needed. {_RETRY}", source=source, why=_BUSY[number])
    if number in _TIMEOUT:
        message = f"A statement took longer than statement_timeout allows. {_RETRY}"
        return DsrError("SOURCE_TIMEOUT", message, source=source)
    if number in _SCHEMA:
        message = "The database's schema changed while the call ran; repeat it."
        return DsrError("SOURCE_BUSY", message, source=source, why="SCHEMA_CHANGED")
    if number in _LOGIN:
        message = "The database refuses the connector's credentials or has no such database; see options.dsn."
        return DsrError("SOURCE_UNAVAILABLE", message, source=source, why="LOGIN_REFUSED")
    return _rejected(number, str(error.args[1:]), source)


def _rejected(number: int, text: str, source: str) -> DsrError:
    if number in _CONSTRAINT:
        names = _NAMES.search(text)
        which = f"the constraint {names[3]} of {names[1]}.{names[2]}" if names else "a constraint of a table"
        why = f"{which} refuses the change"
    elif number in _PRIVILEGE:
        why = "the connector's user lacks a privilege; see Probe"
    elif number in _VALUE:
        why = "a value doesn't fit its column; see the declaration and the constants of the instructions"
    else:
        why = _REJECTED.get(number, f"the database answered with error {number}")
    return DsrError("SOURCE_REJECTED", f"Nothing was changed: {why}.", source=source, why=why)


def _unavailable(source: str) -> DsrError:
    message = "The database can't be reached, or the connection to it broke. What was not answered may be asked again."
    return DsrError("SOURCE_UNAVAILABLE", message, source=source)
