"""The connections of one source. Driver errors become ours here and nowhere else."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from connectors.redis.address import pool
from connectors.redis.options import Options
from dsrkit.errors import DsrError

T = TypeVar("T")
Ask = Callable[..., Awaitable[Any]]
"""Sends one command, returns its raw answer."""

PAGE = 1_000
"""Keys or elements asked for at once: a server does one thing at a time, and others wait meanwhile."""
_TRIES = 5
_OLDEST = 7


class Server:
    """One database of one server."""

    def __init__(self, options: Options, source: str) -> None:
        self._options = options
        self._source = source
        self._client: Redis | None = None

    async def command(self, *words: Any) -> Any:
        """One command's raw answer."""
        client = self._open()
        with self.translated():
            return await cast(Awaitable[Any], client.execute_command(*words))  # type: ignore[no-untyped-call]

    async def commands(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        """The answers of several commands in one round trip; the first error is raised."""
        if not commands:
            return []
        client = self._open()
        with self.translated():
            async with client.pipeline(transaction=False) as pipeline:
                for words in commands:
                    pipeline.execute_command(*words)
                # The driver would put words of its own before the error's code.
                answers = await pipeline.execute(raise_on_error=False)
            for answer in answers:
                if isinstance(answer, exceptions.RedisError):
                    raise answer
            return list(answers)

    @asynccontextmanager
    async def watching(self, names: Sequence[bytes]) -> AsyncIterator["Watching"]:
        """Keys that are watched: what is then done by `Watching.exec` happens only if none of them changed."""
        client = self._open()
        with self.translated():
            async with client.pipeline(transaction=True) as pipeline:
                await pipeline.watch(*names)
                yield Watching(pipeline)

    async def steady(self, key: bytes, read: Callable[[Ask], Awaitable[T]]) -> T:
        """What `read` makes of a key that doesn't change meanwhile. SOURCE_BUSY if it changes again and again."""
        for _ in range(_TRIES):
            try:
                async with self.watching([key]) as watching:
                    result = await read(watching.command)
                    await watching.exec("TYPE", key)
                    return result
            except exceptions.WatchError:
                continue
        raise DsrError("SOURCE_BUSY", "A key changes all the time while it is read. Retry.", source=self._source)

    async def permits(self, key: bytes, *commands: Sequence[Any]) -> bool:
        """Whether the user may do this to the key. The server looks at permissions as it queues, and does nothing."""
        try:
            async with self.watching([key]) as watching:
                await watching.command("MULTI")
                try:
                    for words in commands:
                        await watching.command(*words)
                finally:
                    await watching.command("DISCARD")
        except DsrError as error:
            if error.reason == "SOURCE_REJECTED":  # by its permissions, or the server has no such command
                return False
            raise
        return True

    async def require_primary(self) -> None:
        """SOURCE_REJECTED for what misses keys or refuses erasures: a replica, a cluster, a sentinel; or is too old."""
        answer = await self.command("HELLO")
        facts = dict(zip(answer[::2], answer[1::2], strict=True))
        mode, role = facts[b"mode"].decode(), facts[b"role"].decode()
        if mode != "standalone":
            raise self._rejected(f"It is a {mode}, which this kind doesn't support. Name one server.", "MODE")
        if int(facts[b"version"].split(b".")[0]) < _OLDEST:
            raise self._rejected(f"The server is older than Redis {_OLDEST}. Upgrade it.", "VERSION")
        if role != "master":
            raise self._rejected("It is a replica. Give the primary's address.", "REPLICA")

    async def now(self) -> datetime:
        """The server's clock."""
        seconds, microseconds = await self.command("TIME")
        return datetime.fromtimestamp(int(seconds), UTC).replace(microsecond=int(microseconds))

    async def keys(self, glob: str) -> AsyncIterator[list[bytes]]:
        """The keys that match, a page at a time; one may come twice. Others are served between two pages."""
        cursor = b"0"
        while True:
            cursor, names = await self.command("SCAN", cursor, "MATCH", glob.encode(), "COUNT", PAGE)
            if names:
                yield names
            if cursor == b"0":
                return

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()

    def _open(self) -> Redis:
        if self._client is None:
            self._client = Redis.from_pool(pool(self._options, self._source))
            # What the driver makes of answers loses something: repeated fields of a stream's entry, for one.
            self._client.response_callbacks.clear()
        return self._client

    @contextmanager
    def translated(self) -> Iterator[None]:
        """From what the driver raises to the contract's errors. Its texts may hold keys, and go no further."""
        try:
            yield
        except exceptions.WatchError:
            raise
        except (exceptions.AuthenticationError, exceptions.AuthorizationError):
            why = "LOGIN_REFUSED"
            message = "The server refuses the connector's credentials; see options.url."
            raise DsrError("SOURCE_UNAVAILABLE", message, source=self._source, why=why) from None
        except exceptions.BusyLoadingError:
            raise DsrError("SOURCE_BUSY", "The server loads its data. Retry.", source=self._source) from None
        except (exceptions.TimeoutError, TimeoutError):
            raise DsrError("SOURCE_TIMEOUT", "The server took too long. Retry.", source=self._source) from None
        except (exceptions.ConnectionError, OSError):
            message = "The server can't be reached, or the connection to it broke. Retry."
            raise DsrError("SOURCE_UNAVAILABLE", message, source=self._source) from None
        except exceptions.NoPermissionError:
            message = "The connector's user lacks a permission; Probe says which."
            raise self._rejected(message, "PERMISSION") from None
        except exceptions.ReadOnlyError:
            raise self._rejected("It is a replica. Give the primary's address.", "REPLICA") from None
        except exceptions.RedisError as error:
            # Its first word is a code: MISCONF, OOM, WRONGTYPE. The rest may quote keys.
            code = str(error).split(" ", 1)[0]
            code = code if code.isalpha() and code.isupper() else "ERR"
            raise self._rejected(f"The server answers {code}.", code) from None

    def _rejected(self, message: str, why: str) -> DsrError:
        return DsrError("SOURCE_REJECTED", message, source=self._source, why=why)


class Watching:
    """A connection that watches keys."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    async def command(self, *words: Any) -> Any:
        """One command's raw answer, at once."""
        return await cast(Awaitable[Any], self._pipeline.execute_command(*words))

    async def exec(self, *words: Any) -> Any:
        """One command's raw answer if nothing that is watched has changed; else redis.exceptions.WatchError."""
        self._pipeline.multi()  # type: ignore[no-untyped-call]
        self._pipeline.execute_command(*words)
        (answer,) = await self._pipeline.execute()
        return answer
