"""The host's walls, over the wire: who may reach which source, and that one attempt of a task runs."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from dsr.connector.v1 import connector_pb2 as pb
from dsr.connector.v1.grant_pb2 import Grant

from dsrkit.errors import from_rpc_error
from tests.conformance.harness import Client, Keys, connect, delete, person, reason, serve

A = "partners/acme/dataSources/a"
B = "partners/acme/dataSources/b"
C = "partners/other/dataSources/a"


class Recording:
    """A backend that notes what reaches it, and streams until it is let go."""

    def __init__(self, name: str, *capabilities: "pb.Capability.ValueType") -> None:
        self.name = name
        self.capabilities = capabilities
        self.calls: list[str] = []
        self.running = 0
        self.most = 0
        self.go = asyncio.Event()
        self.began = asyncio.Event()
        self.ended = asyncio.Event()
        self.closed = False
        self.size = 10
        self.error: Exception | None = None

    async def describe(self) -> pb.DescribeResponse:
        return pb.DescribeResponse(connector=self.name, version="1", capabilities=self.capabilities)

    async def probe(self) -> pb.ProbeResponse:
        self.calls.append("probe")
        return pb.ProbeResponse(reachable=True)

    async def locate(self, request: pb.LocateRequest) -> AsyncIterator[pb.LocateResponse]:
        self.calls.append("locate")
        if self.error:
            raise self.error
        yield pb.LocateResponse(located=pb.Located(subject_ref=self.name))

    async def verify(self, request: pb.VerifyRequest) -> AsyncIterator[pb.VerifyResponse]:
        self.calls.append("verify")
        yield pb.VerifyResponse(verified=pb.Verified(subject_ref=self.name))

    async def erase(self, request: pb.EraseRequest, grant: Grant) -> AsyncIterator[pb.EraseResponse]:
        self.calls.append(f"erase {grant.attempt}")
        async for _ in self._work():
            yield pb.EraseResponse(progress=pb.Progress(records=1))
        yield pb.EraseResponse(erased=pb.Erased(subject_ref=str(grant.attempt), outcome=pb.Erased.OUTCOME_ERASED))

    async def export(self, request: pb.ExportRequest, grant: Grant) -> AsyncIterator[pb.ExportResponse]:
        self.calls.append(f"export {grant.attempt}")
        async for size in self._work():
            yield pb.ExportResponse(data=b"x" * size)

    async def _work(self) -> AsyncIterator[int]:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            while not self.go.is_set():
                self.began.set()
                yield self.size
                await asyncio.sleep(0)
        finally:
            self.running -= 1
            self.ended.set()

    async def close(self) -> None:
        assert not self.running
        self.closed = True


Backends = dict[str, Recording]


@pytest.fixture
def backends() -> Backends:
    full = (pb.CAPABILITY_EXPORT, pb.CAPABILITY_ERASE)
    return {name: Recording(name, *full) for name in (A, B, C)}


@pytest.fixture
async def target(tmp_path: Path, backends: Backends) -> AsyncIterator[tuple[Keys, str]]:
    keys = Keys.make(tmp_path)
    async with serve(keys, backends) as address:
        yield keys, address


def call_each(client: Client) -> dict[str, Callable[[], Awaitable[object]]]:
    """Each RPC, for the client's source."""
    subject = person("one", n="1")
    export = client.grant(Grant.OPERATION_EXPORT, delete("c"))
    erase = client.grant(Grant.OPERATION_ERASE, delete("c"))
    expected = [pb.CollectionCount(collection="c")]
    return {
        "Describe": client.describe,
        "Probe": client.probe,
        "Locate": lambda: client.locate(subject),
        "Export": lambda: client.export(subject, export),
        "Erase": lambda: client.erase(erase, pb.EraseSubject(subject=subject, expected=expected)),
        "Verify": lambda: client.verify([delete("c")], pb.VerifySubject(subject=subject)),
    }


async def refusal(call: Callable[[], Awaitable[object]]) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call()
    return raised.value


@pytest.mark.policy("P1", "a connector serves a token bound to one source for that source alone")
async def test_a_token_reaches_its_own_source_and_no_other(target: tuple[Keys, str], backends: Backends) -> None:
    """Every RPC, with every audience, for every source: the partner's other source and the other partner's included."""
    keys, address = target
    for backend in backends.values():
        backend.go.set()
    for audience in backends:
        for source in backends:
            async with connect(keys, address, source) as client:
                client.audience = audience
                for rpc, call in call_each(client).items():
                    if source == audience:
                        await call()
                    elif rpc in ("Export", "Erase"):
                        assert reason(await refusal(call)) == ("PERMISSION_DENIED", "GRANT_INVALID")
                    else:
                        assert reason(await refusal(call)) == ("NOT_FOUND", "NOT_FOUND")
    assert all(b.calls == ["probe", "locate", "export 1", "erase 1", "verify"] for b in backends.values())


async def test_foreign_and_absent_are_answered_alike(target: tuple[Keys, str]) -> None:
    keys, address = target
    answers = set()
    for source in (B, C, "partners/acme/dataSources/none", "partners/none/dataSources/a", "x", A + "/", A.upper()):
        async with connect(keys, address, source) as client:
            client.audience = A
            for rpc in ("Describe", "Probe", "Locate", "Verify"):
                error = await refusal(call_each(client)[rpc])
                answers.add((error.code(), error.details(), str(from_rpc_error(error))))
    assert len(answers) == 1


async def test_an_audience_that_is_not_served_is_no_credential(target: tuple[Keys, str]) -> None:
    keys, address = target
    async with connect(keys, address, "partners/acme/dataSources/none") as client:
        for call in call_each(client).values():
            assert reason(await refusal(call)) == ("UNAUTHENTICATED", "CREDENTIAL_INVALID")


async def test_what_is_not_declared_is_not_called(tmp_path: Path) -> None:
    keys, backend = Keys.make(tmp_path), Recording(A)
    async with serve(keys, {A: backend}) as address, connect(keys, address, A) as client:
        calls = call_each(client)
        for rpc in ("Export", "Erase", "Verify"):
            assert reason(await refusal(calls[rpc])) == ("UNIMPLEMENTED", "METHOD_UNKNOWN")
    assert backend.calls == []


async def test_a_newer_attempt_ends_an_older_one(target: tuple[Keys, str], backends: Backends) -> None:
    keys, address = target
    backend = backends[A]
    async with connect(keys, address, A) as client:

        def erase(attempt: int) -> asyncio.Task[list[pb.Erased]]:
            grant = client.grant(Grant.OPERATION_ERASE, delete("c"), attempt=attempt)
            expected = [pb.CollectionCount(collection="c")]
            subject = pb.EraseSubject(subject=person("one", n="1"), expected=expected)
            return asyncio.create_task(client.erase(grant, subject))

        first = erase(1)
        await backend.began.wait()
        second = erase(2)
        assert reason(await refusal(lambda: first)) == ("ABORTED", "ATTEMPT_SUPERSEDED")
        assert reason(await refusal(lambda: erase(1))) == ("ABORTED", "ATTEMPT_SUPERSEDED")
        backend.go.set()
        assert [erased.subject_ref for erased in await second] == ["2"]
    assert backend.most == 1


async def test_a_reader_that_does_not_read_does_not_hold_up_the_next_attempt(
    target: tuple[Keys, str], backends: Backends
) -> None:
    keys, address = target
    backend = backends[A]
    backend.size = 1 << 20
    async with connect(keys, address, A) as client:

        def request(attempt: int) -> pb.ExportRequest:
            grant = client.grant(Grant.OPERATION_EXPORT, delete("c"), attempt=attempt)
            return pb.ExportRequest(grant=keys.sign(grant), subject=person("one", n="1"))

        stuck = client.stub.Export(request(1), metadata=client.metadata)
        await stuck.read()  # and then no more: flow control stops the server
        backend.ended.clear()
        second = client.stub.Export(request(2), metadata=client.metadata)
        await second.read()
        await asyncio.wait_for(backend.ended.wait(), 5)
        assert backend.most == 1
        backend.go.set()
        second.cancel()
        stuck.cancel()


async def test_a_caller_that_goes_away_ends_the_work(target: tuple[Keys, str], backends: Backends) -> None:
    keys, address = target
    backend = backends[A]
    async with connect(keys, address, A) as client:
        grant = client.grant(Grant.OPERATION_EXPORT, delete("c"))
        request = pb.ExportRequest(grant=keys.sign(grant), subject=person("one", n="1"))
        call = client.stub.Export(request, metadata=client.metadata)
        await call.read()
        call.cancel()
        await asyncio.wait_for(backend.ended.wait(), 5)


@pytest.mark.parametrize("error", [RuntimeError("ann@example.com"), KeyError("ann@example.com"), ValueError("x")])
async def test_a_backends_text_never_leaves(target: tuple[Keys, str], backends: Backends, error: Exception) -> None:
    keys, address = target
    backends[A].error = error
    async with connect(keys, address, A) as client:
        refused = await refusal(lambda: client.locate(person("one", n="1")))
    assert reason(refused) == ("INTERNAL", "INTERNAL")
    assert "ann" not in f"{refused.details()}{refused.trailing_metadata()}"


async def test_backends_are_closed_after_their_last_work(tmp_path: Path, backends: Backends) -> None:
    keys = Keys.make(tmp_path)
    async with serve(keys, backends) as address, connect(keys, address, A) as client:
        grant = client.grant(Grant.OPERATION_EXPORT, delete("c"))
        call = client.stub.Export(
            pb.ExportRequest(grant=keys.sign(grant), subject=person("one", n="1")), metadata=client.metadata
        )
        await call.read()
        assert backends[A].running == 1
        call.cancel()
    assert all(backend.closed for backend in backends.values())


async def test_instructions_and_expectations_that_contradict_are_refused(target: tuple[Keys, str]) -> None:
    keys, address = target
    async with connect(keys, address, A) as client:
        twice = client.grant(Grant.OPERATION_ERASE, delete("c"), delete("c"))
        once = client.grant(Grant.OPERATION_ERASE, delete("c"))
        subject = person("one", n="1")
        double = [pb.CollectionCount(collection="c"), pb.CollectionCount(collection="c")]
        negative = [pb.CollectionCount(collection="c", records=-1)]
        cases: list[tuple[Grant, list[pb.CollectionCount], str]] = [
            (twice, [pb.CollectionCount(collection="c")], "grant.instructions[1].collection"),
            (once, double, "subjects[0].expected[1].collection"),
            (once, negative, "subjects[0].expected[0].records"),
        ]
        for grant, expected, field in cases:
            erase = pb.EraseSubject(subject=subject, expected=expected)
            error = await refusal(lambda grant=grant, erase=erase: client.erase(grant, erase))  # type: ignore[misc]
            info: Any = from_rpc_error(error)
            assert (info.reason, info.metadata["field"]) == ("FIELD_INVALID", field)
