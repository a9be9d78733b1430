"""The connector under test, within bounds: every call has a deadline, every stream a largest size."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from dsr.conformance.check import Failed, NotApplicable, Unprepared
from dsr.conformance.grants import GrantKey
from dsr.conformance.material import Material, Person
from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.connector_pb2_grpc import ConnectorServiceStub
from dsr.connector.v1.grant_pb2 import CollectionInstruction, Grant, Sandbox, SignedGrant
from dsr.credentials import Credential

MAX_MESSAGES = 200_000
MAX_BYTES = 256 << 20
"""A stream larger than this counts as endless."""
MAX_MESSAGE_BYTES = 16 * 1024 * 1024

_STREAMING = frozenset(
    {"Locate", "Export", "Amend", "Erase", "Verify", "ListInactive", "CountPeople", "Return", "Destroy"}
)
_MARKED = frozenset({"Locate", "Verify"})


@dataclass(frozen=True)
class Refusal:
    """An error as it came over the wire."""

    rpc: str
    code: str
    message: str
    info: error_details_pb2.ErrorInfo | None
    retry: bool
    """Whether RetryInfo came along."""

    @property
    def answer(self) -> str:
        """As rules write it: `CODE / REASON`."""
        return f"{self.code} / {self.info.reason if self.info else 'no ErrorInfo'}"


@dataclass(frozen=True)
class Answer:
    """Everything a call answered."""

    messages: list[Any]
    refusal: Refusal | None

    @property
    def code(self) -> str:
        """As rules write it."""
        return self.refusal.answer if self.refusal else "OK"


@dataclass
class Bench:
    """One run against one source. Remembers what is expensive or can be done only once."""

    channel: grpc.aio.Channel
    source: str
    credential: Credential
    material: Material
    grant_key: GrantKey | None = None
    timeout: float = 30.0
    """Seconds each call may take."""
    refusals: list[Refusal] = field(default_factory=list)
    """Every error of the run, for the rules about errors."""
    _described: pb.DescribeResponse | None = None
    _memo: dict[str, Any] = field(default_factory=dict)
    _run: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    _tasks: int = 0
    _sandbox: bool | None = None

    async def call(
        self, rpc: str, request: Any, *, token: str | None = None, source: str = "", marked: bool = True
    ) -> Answer:
        """Calls `rpc`. `token`: None for a good one, empty for none. Failed if it doesn't end in time and size.

        `marked`: a call of a source that is a sandbox gets its mark.
        """
        if marked and rpc in _MARKED and await self.sandbox():
            request.sandbox.SetInParent()
        if token is None:
            token = self.credential.token(source or self.source)
        metadata = (("authorization", f"Bearer {token}"),) if token else ()
        method = getattr(ConnectorServiceStub(self.channel), rpc)
        messages: list[Any] = []
        try:
            async with asyncio.timeout(self.timeout + 1):
                if rpc in _STREAMING:
                    await self._read(rpc, method(request, metadata=metadata, timeout=self.timeout), messages)
                else:
                    messages.append(_message(rpc, await method(request, metadata=metadata, timeout=self.timeout)))
        except TimeoutError:
            raise Failed(f"{rpc} did not end within {self.timeout:g} s") from None
        except grpc.aio.AioRpcError as error:
            refusal = _refusal(rpc, error)
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED and refusal.info is None:
                raise Failed(f"{rpc} did not end within {self.timeout:g} s") from None
            self.refusals.append(refusal)
            return Answer(messages, refusal)
        return Answer(messages, None)

    async def _read(self, rpc: str, stream: Any, messages: list[Any]) -> None:
        size = 0
        async for received in stream:
            message = _message(rpc, received)
            size += message.ByteSize()
            # Signs of life are not the answer, and may be many.
            if message.WhichOneof(message.DESCRIPTOR.oneofs[0].name) != "progress":
                messages.append(message)
            if len(messages) > MAX_MESSAGES or size > MAX_BYTES:
                stream.cancel()
                raise Failed(f"{rpc} sent {len(messages):,} messages and {size:,} bytes, and no end")

    async def answer(self, rpc: str, request: Message, *, source: str = "") -> list[Any]:
        """The messages of a call that must succeed."""
        answer = await self.call(rpc, request, source=source)
        if answer.refusal is not None:
            raise Failed(f"{rpc} answered {answer.code}: {answer.refusal.message[:200]}")
        return answer.messages

    async def undeclared(self, rpc: str, request: Message) -> Answer:
        """The answer to what isn't declared. The library's own, which gives no reason, counts as METHOD_UNKNOWN."""
        answer = await self.call(rpc, request)
        refusal = answer.refusal
        if refusal is None or refusal.code != "UNIMPLEMENTED" or refusal.info is not None:
            return answer
        self.refusals.remove(refusal)
        info = error_details_pb2.ErrorInfo(reason="METHOD_UNKNOWN", domain="dsr.v1")
        return replace(answer, refusal=replace(refusal, info=info))

    async def described(self) -> pb.DescribeResponse:
        """Describe, asked once."""
        if self._described is None:
            (self._described,) = await self.answer("Describe", pb.DescribeRequest(source=self.source))
        return self._described

    @property
    def connected(self) -> bool:
        """Whether there is a connection at this moment."""
        return self.channel.get_state() is grpc.ChannelConnectivity.READY

    async def sandbox(self) -> bool:
        """Whether Describe says that the source is a sandbox; where it can't be had, rules of its own say so."""
        if self._sandbox is None:
            try:
                self._sandbox = (await self.described()).sandbox
            except Failed:
                self._sandbox = False
        return self._sandbox

    async def declares(self, capability: "pb.Capability.ValueType") -> bool:
        """Whether Describe names the capability."""
        return capability in (await self.described()).capabilities

    async def needs(self, capability: "pb.Capability.ValueType") -> None:
        """NotApplicable unless the capability is declared."""
        if not await self.declares(capability):
            raise NotApplicable(f"{pb.Capability.Name(capability)} is not declared")

    async def personal(self) -> Mapping[str, pb.Collection]:
        """The collections that hold personal data, by name."""
        return {c.name: c for c in (await self.described()).collections if not c.no_personal_data}

    @property
    def disposable(self) -> Person:
        """The person who may be erased."""
        if self.material.disposable is None:
            raise Unprepared("the material names no disposable person")
        return self.material.disposable

    def task(self) -> str:
        """A task id that no other run has used."""
        self._tasks += 1
        return f"conformance-{self._run}-{self._tasks}"

    def sign(self, grant: Grant) -> SignedGrant:
        """A good grant."""
        return self.key.sign(grant)

    @property
    def key(self) -> GrantKey:
        """The test key."""
        if self.grant_key is None:
            raise Unprepared("no --grant-key: a test key by which the connector under test believes grants")
        return self.grant_key

    def grant(
        self,
        operation: "Grant.Operation.ValueType",
        instructions: list[CollectionInstruction],
        *,
        task: str = "",
        attempt: int = 1,
    ) -> Grant:
        """A grant for this source, not yet signed."""
        return Grant(
            source=self.source,
            operation=operation,
            task=task or self.task(),
            attempt=attempt,
            plan_digest="conformance",
            approver="conformance",
            instructions=instructions,
            sandbox=Sandbox() if self._described is not None and self._described.sandbox else None,
        )

    async def once(self, name: str, make: Any) -> Any:
        """The result of `make`, which is awaited the first time only; a failure is remembered as well."""
        if name not in self._memo:
            try:
                self._memo[name] = await make(self)
            except (Failed, Unprepared, NotApplicable) as error:
                self._memo[name] = error
        if isinstance(self._memo[name], Exception):
            raise self._memo[name]
        return self._memo[name]


def _message(rpc: str, received: Any) -> Any:
    """grpc.aio delivers None for bytes that it can't decode."""
    if received is None:
        raise Failed(f"{rpc} sent bytes that are not its message")
    return received


@asynccontextmanager
async def open_bench(
    target: str,
    source: str,
    credential: Credential,
    material: Material,
    grant_key: GrantKey | None = None,
    timeout: float = 30.0,
    tls: grpc.ChannelCredentials | None = None,
    server_name: str = "",
) -> AsyncIterator[Bench]:
    """A run's bench; without `tls` over plaintext, which a connector accepts on loopback only.

    `server_name`: what the connector's certificate says, where `target` says something else.
    """
    options: list[tuple[str, Any]] = [("grpc.max_receive_message_length", MAX_MESSAGE_BYTES)]
    if server_name:
        options.append(("grpc.ssl_target_name_override", server_name))
    channel = (
        grpc.aio.secure_channel(target, tls, options=options)
        if tls
        else grpc.aio.insecure_channel(target, options=options)
    )
    async with channel:
        yield Bench(channel, source, credential, material, grant_key, timeout)


def _refusal(rpc: str, error: grpc.aio.AioRpcError) -> Refusal:
    info, retry = None, False
    for key, value in error.trailing_metadata() or ():
        if key != "grpc-status-details-bin" or not isinstance(value, bytes):
            continue
        for detail in status_pb2.Status.FromString(value).details:
            if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
                info = error_details_pb2.ErrorInfo()
                detail.Unpack(info)
            retry = retry or detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR)
    return Refusal(rpc, error.code().name, error.details() or "", info, retry)
