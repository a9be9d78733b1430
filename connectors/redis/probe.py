"""Whether the server is there and permits what is declared. Entries to remove are such as can't be there; whole keys
are only spoken of, for the pattern of a single key is that key's name.
"""

import secrets
from typing import Any

from dsr.connector.v1 import connector_pb2 as pb

from connectors.redis import content, keys
from connectors.redis.connection import Server
from connectors.redis.destroy import destroys
from connectors.redis.erase import REMOVE_FIELD
from connectors.redis.giveback import READ_SMALL
from connectors.redis.options import Collection, Options
from dsrkit.errors import DsrError

_UNREACHABLE = ("SOURCE_UNAVAILABLE", "SOURCE_TIMEOUT")


async def probe(options: Options, server: Server) -> pb.ProbeResponse:
    """A server that can't be reached is an answer, not an error."""
    response = pb.ProbeResponse(reachable=False)
    try:
        await server.require_primary()
    except DsrError as error:
        if error.reason in _UNREACHABLE and "why" not in error.metadata:
            return response
        raise
    response.reachable = True
    response.encrypted_in_transit = True  # otherwise it is this machine, or there is no connection
    if options.encrypted_at_rest is not None:
        yes, no = pb.ProbeResponse.ENCRYPTION_AT_REST_YES, pb.ProbeResponse.ENCRYPTION_AT_REST_NO
        response.encryption_at_rest = yes if options.encrypted_at_rest else no
    response.backend_time.FromDatetime(await server.now())
    for name, collection in options.collections.items():
        nobody = secrets.token_hex(16).encode()
        key = keys.data(keys.example(collection.pattern, nobody.decode()))
        for operation, asks in (("return", _returns(collection, key)), ("destroy", destroys(key))):
            allowed = await server.permits(key, *asks)
            response.permissions.append(pb.ProbeResponse.Permission(operation=f"{name}: {operation}", allowed=allowed))
        if collection.no_personal_data:
            continue
        kind = await content.kind_of(server.command, key)
        reads = [await _allowed(server, words) for words in _reads(collection, key, nobody, kind)]
        deletes = [await _allowed(server, words) for words in _deletes(collection, key, nobody, kind)]
        if collection.each == "key":
            deletes.append(await server.permits(key, ("UNLINK", key)))
        for operation, allowed in (("read", all(reads)), ("delete", all(deletes))):
            response.permissions.append(pb.ProbeResponse.Permission(operation=f"{name}: {operation}", allowed=allowed))
    return response


def _returns(collection: Collection, key: bytes) -> list[tuple[Any, ...]]:
    by_kind: dict[str, tuple[Any, ...]] = {
        content.STRING: ("GET", key),
        content.HASH: ("HGETALL", key),
        content.SET: ("SMEMBERS", key),
        content.ZSET: ("ZRANGE", key, 0, -1),
        content.LIST: ("LRANGE", key, 0, -1),
        content.STREAM: ("XRANGE", key, "-", "+"),
    }
    asks = [by_kind[kind] for kind in content.KINDS[collection.each]]
    more = [("SCAN", 0, "COUNT", 1), ("EVAL", READ_SMALL, 1, key, 0), ("MEMORY", "USAGE", key), ("PEXPIRETIME", key)]
    return [*more, *asks]


def _reads(collection: Collection, key: bytes, nobody: bytes, kind: str) -> list[tuple[Any, ...]]:
    by_kind: dict[str, list[tuple[Any, ...]]] = {
        content.STRING: [("GET", key)],
        content.HASH: [("HSCAN", key, 0), ("HGET", key, nobody), ("HMGET", key, nobody)],
        content.SET: [("SSCAN", key, 0), ("SISMEMBER", key, nobody)],
        content.ZSET: [("ZSCAN", key, 0), ("ZSCORE", key, nobody)],
        content.LIST: [("LLEN", key), ("LRANGE", key, 0, 0), ("LPOS", key, nobody)],
        content.STREAM: [("XRANGE", key, "0-1", "0-1")],
    }
    asks = [ask for name in _kinds(collection, kind) for ask in by_kind[name]]
    return [("SCAN", 0, "MATCH", nobody, "COUNT", 1), *asks] if collection.scans else asks


def _deletes(collection: Collection, key: bytes, nobody: bytes, kind: str) -> list[tuple[Any, ...]]:
    if collection.each == "key":
        return []
    by_kind: dict[str, tuple[Any, ...]] = {
        content.HASH: ("EVAL", REMOVE_FIELD, 1, key, nobody, nobody),
        content.SET: ("SREM", key, nobody),
        content.ZSET: ("ZREM", key, nobody),
        content.LIST: ("LREM", key, 0, nobody),
        content.STREAM: ("XDEL", key, "0-1"),
    }
    return [by_kind[name] for name in _kinds(collection, kind)]


def _kinds(collection: Collection, kind: str) -> tuple[str, ...]:
    """The types that the collection may meet; where its key is there, that one's."""
    kinds = content.KINDS[collection.each]
    return (kind,) if kind in kinds else kinds


async def _allowed(server: Server, words: tuple[Any, ...]) -> bool:
    try:
        await server.command(*words)
    except DsrError as error:
        if error.metadata.get("why") == "PERMISSION":
            return False
        if error.reason != "SOURCE_REJECTED":
            raise
    return True
