"""The `dsr` command against a running platform."""

import asyncio
import contextlib
import importlib.metadata
import io
import json
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
import pytest
import structlog
import typer
from dsr import cli
from dsr.v1 import access_pb2, erasure_pb2, error_reason_pb2, request_pb2, retention_pb2

from dsrkit.errors import DsrError
from tests.gateway_fake import ABSENT, CONTENT, PARTNER, REQUEST_ID, Platform, events

STANDS = ("COUNTING", "COUNTED", "COMPLETED")
WHO = ["--capacity", "self", "--verified-by", "clerk-7", "--verification", "account-login", "--verified-at", "now"]


@dataclass(frozen=True)
class Result:
    status: int
    out: str
    err: str


Dsr = Callable[..., Coroutine[Any, Any, Result]]


@pytest.fixture
def quiet() -> Iterator[None]:
    """The fake logs to the standard output that the command is watched on."""
    before = structlog.get_config()
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    yield
    structlog.configure(**before)


@pytest.fixture
def dsr(platform: Platform, quiet: None, monkeypatch: pytest.MonkeyPatch) -> Dsr:
    for name in ("DSR_TARGET", "DSR_CREDENTIAL", "DSR_ACTOR", "DSR_PARTNER", "DSR_CA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "200")

    def run(arguments: tuple[str, ...], stdin: str) -> Result:
        out, err = io.StringIO(), io.StringIO()
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended:
            cli.main(arguments)
        return Result(int(ended.value.code or 0), out.getvalue(), err.getvalue())

    async def call(*arguments: str, stdin: str = "", connected: bool = True) -> Result:
        common = ("--target", platform.target, "--credential", str(platform.credential_file), "--actor", "clerk-7")
        # In a thread, because the command has an event loop of its own.
        return await asyncio.to_thread(run, (*arguments, *(common if connected else ())), stdin)

    return call


async def test_create_by_options(dsr: Dsr, platform: Platform) -> None:
    received = ["--received-at", "2026-01-31T12:00+01:00", "--data-source", "shop", "--request-id", REQUEST_ID]
    result = await dsr("access", "create", "--identity", "email=jane@example.org", *WHO, *received)
    assert result.status == 0, result.err
    message = platform.calls[0].message
    assert (message.parent, message.request_id) == (PARTNER, REQUEST_ID)
    request = message.access_request
    assert [(i.type, i.value) for i in request.subject.identities] == [("email", "jane@example.org")]
    assert request.clock.received_time.ToJsonString() == "2026-01-31T11:00:00Z"
    assert list(request.data_sources) == [f"{PARTNER}/dataSources/shop"]
    assert "LOCATING" in result.out
    assert REQUEST_ID in result.err
    assert "jane" not in result.out + result.err


async def test_create_from_standard_input(dsr: Dsr, platform: Platform) -> None:
    document = """
subject:
  identities: [{type: customer_number, value: "0042"}]
clock: {receivedTime: 2026-01-31T12:00:00Z}
"""
    result = await dsr("portability", "create", "-", *WHO, "--format", "parquet", "--json", stdin=document)
    assert result.status == 0, result.err
    request = platform.calls[0].message.portability_request
    assert request.subject.identities[0].value == "0042"
    assert list(request.formats) == [2]
    assert json.loads(result.out)["state"] == "REQUEST_STATE_LOCATING"
    assert result.err == ""


async def test_get_and_list(dsr: Dsr, platform: Platform) -> None:
    shown = await dsr("access", "get", "1")
    assert platform.calls[0].message.name == f"{PARTNER}/accessRequests/1"
    assert "zoë@example.org" in shown.out
    assert "REQUEST_STATE" not in shown.out
    listed = await dsr("erasure", "list", "--state", "locating", "--due-before", "2026-02-28", "--limit", "1", "--json")
    assert len(json.loads(listed.out)) == 1
    message = platform.calls[1].message
    assert (list(message.states), message.page_size) == ([request_pb2.REQUEST_STATE_LOCATING], 2)
    assert (await dsr("hold", "list")).status == 0
    sources = (await dsr("source", "list")).out.splitlines()
    assert [line.split()[0] for line in sources] == ["name", "1", "2"]
    fewer = await dsr("source", "list", "--limit", "1")
    assert (len(fewer.out.splitlines()), "--limit" in fewer.err) == (2, True)


async def test_list_reads_all_pages(dsr: Dsr, platform: Platform) -> None:
    def page(message: Any) -> Any:
        number = int(message.page_token or 1)
        token = str(number + 1) if number < 3 else ""
        return access_pb2.ListAccessRequestsResponse(
            access_requests=[access_pb2.AccessRequest(name=f"n{number}")], next_page_token=token
        )

    platform.answers["ListAccessRequests"] = page
    result = await dsr("access", "list", "--json")
    assert [one["name"] for one in json.loads(result.out)] == ["n1", "n2", "n3"]
    platform.answers["ListAccessRequests"] = lambda _: access_pb2.ListAccessRequestsResponse()
    assert "none" in (await dsr("access", "list")).err


async def test_watch(dsr: Dsr, platform: Platform) -> None:
    state = request_pb2.REQUEST_STATE_COMPLETED
    platform.answers["GetAccessRequest"] = lambda m: access_pb2.AccessRequest(name=m.name, state=state)
    result = await dsr("access", "watch", "1")
    assert result.status == 0
    assert [line.split()[-1] for line in result.out.splitlines()] == ["state.changed", "located", "state.changed"]
    lines = (await dsr("access", "watch", "1", "--json")).out.splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["1", "2", "3"]
    refused = request_pb2.REQUEST_STATE_REFUSED
    platform.answers["GetAccessRequest"] = lambda m: access_pb2.AccessRequest(name=m.name, state=refused)
    assert (await dsr("access", "watch", "1")).status == 3


async def test_download(dsr: Dsr, tmp_path: Path) -> None:
    result = await dsr("access", "download", "1", "--to", str(tmp_path))
    assert result.status == 0, result.err
    assert result.out.strip().replace("\n", "") == str(tmp_path / "access-1.zip")
    assert (tmp_path / "access-1.zip").read_bytes() == CONTENT
    told = await dsr("access", "download", "1", "--to", str(tmp_path / "b.zip"), "--json")
    assert json.loads(told.out) == {"path": str(tmp_path / "b.zip"), "sizeBytes": len(CONTENT)}


def planned(message: Any) -> Any:
    request = erasure_pb2.ErasureRequest(name=message.name, state=request_pb2.REQUEST_STATE_PLANNED)
    request.plan.digest = "d1"
    request.plan.grace_period.seconds = 86_400
    action = erasure_pb2.ErasureRequest.ACTION_DELETE
    request.plan.collections.add(source="s", collection="orders", records=12, action=action, cap=15)
    return request


async def test_plan_and_approve(dsr: Dsr, platform: Platform) -> None:
    platform.answers["GetErasureRequest"] = planned
    shown = await dsr("erasure", "plan", "1")
    assert shown.status == 0, shown.err
    for word in ("d1", "orders", "12", "DELETE", "1 day"):
        assert word in shown.out
    assert "approve" in shown.err
    assert json.loads((await dsr("erasure", "plan", "1", "--json")).out)["digest"] == "d1"
    unread = await dsr("erasure", "approve", "1")
    assert unread.status == 1
    assert "digest" in unread.err
    assert not [call for call in platform.calls if call.rpc == "ApproveErasureRequest"]
    approved = await dsr("erasure", "approve", "1", "--digest", "d1")
    assert approved.status == 0, approved.err
    assert platform.calls[-1].message.plan_digest == "d1"


async def test_approval_after_reading_the_plan(dsr: Dsr, platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    platform.answers["GetErasureRequest"] = planned
    monkeypatch.setattr("rich.console.Console.is_terminal", True)
    declined = await dsr("erasure", "approve", "1", stdin="n\n")
    assert declined.status == 1
    assert "orders" in declined.err
    assert not [call for call in platform.calls if call.rpc == "ApproveErasureRequest"]
    agreed = await dsr("erasure", "approve", "1", stdin="y\n")
    assert agreed.status == 0, agreed.err
    assert platform.calls[-1].message.plan_digest == "d1"


async def test_plan_that_is_not_there(dsr: Dsr, platform: Platform) -> None:
    refused = request_pb2.REQUEST_STATE_REFUSED
    platform.answers["GetErasureRequest"] = lambda m: erasure_pb2.ErasureRequest(name=m.name, state=refused)
    result = await dsr("erasure", "plan", "1")
    assert result.status == 1
    assert "the request is REFUSED" in result.err


async def test_other_steps(dsr: Dsr, platform: Platform) -> None:
    for right in ("access", "portability", "erasure"):
        assert (await dsr(right, "cancel", "1")).status == 0
        told = ["--reason", "high-volume", "--subject-told-at", "now"]
        assert (await dsr(right, "extend", "1", *told)).status == 0
        assert (await dsr(right, "resolve", "1", "--accept", "a", "--reject", "b")).status == 0
        names = [call.rpc for call in platform.calls[-3:]]
        assert [name[:6] for name in names] == ["Cancel", "Extend", "Resolv"]
        decisions = platform.calls[-1].message.decisions
        assert [(d.candidate, d.decision) for d in decisions] == [("a", 1), ("b", 2)]
        assert platform.calls[-2].message.extension.reason == 2
    undecided = await dsr("access", "resolve", "1")
    assert undecided.status == 1
    assert "--accept" in undecided.err


async def test_governance(dsr: Dsr, platform: Platform, tmp_path: Path) -> None:
    stored = await dsr("datamap", "put", "-", stdin='{"sources": [{"source": "s", "collections": []}]}')
    assert "FIELD_REQUIRED" in stored.err
    read = await dsr("datamap", "get")
    content = json.loads(read.out)
    assert content["sources"][0]["collections"][0]["collection"] == "orders"
    again = tmp_path / "map.json"
    again.write_text(read.out)
    assert "FIELD_REQUIRED" in (await dsr("datamap", "put", str(again))).err  # understood, if not complete
    where = ["--provider", "Amazon Web Services", "--site", "Dublin", "--country", "IE"]
    what = ["--id", "shop", "--title", "Shop", "--address", "127.0.0.1:1", "--custody", "sub-processor"]
    assert (await dsr("source", "create", *what, *where)).status == 0
    declared = platform.calls[-1].message.data_source
    assert (declared.name, declared.custody, declared.location.site) == (f"{PARTNER}/dataSources/shop", 3, "Dublin")
    law = ["--reason", "eu-gdpr:JustificationA17LegalClaims", "--legal-reference", "BGB", "--review-at", "2027-01-01"]
    held = ["hold", "place", "--source", "shop", "--collection", "orders", *law, "--identity", "-"]
    assert (await dsr(*held, stdin="email=jane@example.org\n")).status == 0
    assert platform.calls[-1].message.hold.subject.value == "jane@example.org"
    assert (await dsr("hold", "release", "7")).status == 0
    assert platform.calls[-1].message.name == f"{PARTNER}/holds/7"


async def test_a_connector_of_ones_own(dsr: Dsr, platform: Platform, tmp_path: Path) -> None:
    pem = tmp_path / "ca.pem"
    pem.write_text("-----BEGIN CERTIFICATE-----\n")
    address = ["connector", "propose", "shop", "--address", "connector.acme.example:7443"]
    known = ["--server-name", "connector.acme.example", "--authority", str(pem)]
    assert (await dsr(*address, *known)).status == 0
    change = platform.calls[-1].message.connector_change
    assert (change.source, change.connector_identity.authority) == (f"{PARTNER}/dataSources/shop", pem.read_text())
    assert (await dsr("connector", "confirm", "7")).status == 0
    assert platform.calls[-1].message.name == f"{PARTNER}/connectorChanges/7"
    assert (await dsr("connector", "withdraw", "7")).status == 0
    listed = (await dsr("connector", "list")).out.splitlines()
    assert [line.split()[0] for line in listed] == ["name", "1", "2"]
    heard = len(platform.calls)
    half = await dsr(*address, "--server-name", "connector.acme.example")
    assert (half.status, "--authority" in half.err) == (1, True)
    pem.write_text("-----BEGIN EC PRIVATE KEY-----\n")
    secret = await dsr(*address, *known)
    assert (secret.status, "private key" in secret.err) == (1, True)
    assert len(platform.calls) == heard, "neither was sent"


async def test_what_cannot_be_taken_back_is_asked(
    dsr: Dsr, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = await dsr("sweep", "approve", "1")
    assert (alone.status, "--yes" in alone.err) == (1, True), "nobody is there to be asked"
    assert platform.calls == []
    monkeypatch.setattr("rich.console.Console.is_terminal", True)
    declined = await dsr("sweep", "approve", "1", stdin="n\n")
    assert (declined.status, "can't be undone" in declined.err) == (1, True)
    assert [call.rpc for call in platform.calls] == ["GetRetentionSweep"], "what it is about is shown first"
    assert (await dsr("sweep", "approve", "1", stdin="y\n")).status == 0
    assert (await dsr("sweep", "approve", "1", "--yes", "--json")).status == 0
    assert [call.rpc for call in platform.calls][-3:] == ["GetRetentionSweep", *["ApproveRetentionSweep"] * 2]


async def test_waiting_says_where_it_stands(dsr: Dsr, platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dsr.cli.waiting.POLL_SECONDS", 0.01)
    states = [retention_pb2.RetentionSweep.State.Value(f"STATE_{name}") for name in STANDS]
    left = iter(states)
    platform.answers["GetRetentionSweep"] = lambda m: retention_pb2.RetentionSweep(name=m.name, state=next(left))
    result = await dsr("sweep", "get", "1", "--until", STANDS[2].lower(), "--until", "cancelled")
    assert result.status == 0, result.err
    assert result.err.splitlines() == [f"state {STANDS[0]}", f"state {STANDS[1]}"]
    assert STANDS[2] in result.out
    assert (await dsr("sweep", "get", "1", "--until", "bliss")).status == 2


async def test_what_is_personal_is_asked_for_or_read(
    dsr: Dsr, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = await dsr("contacts", "set")
    assert "It is given by FILE." in absent.err
    monkeypatch.setattr("dsr.cli.terminal.Terminal.is_attended", True)
    assert (await dsr("contacts", "set", stdin="jane@example.org\n")).status == 0
    assert platform.calls[-1].message.contacts.primary_email == "jane@example.org"
    on_the_line = await dsr("contacts", "set", "--primary-email", "jane@example.org")
    assert on_the_line.status == 2


async def test_a_field_that_is_wrong_is_told_by_its_option(dsr: Dsr, platform: Platform) -> None:
    refused = DsrError("FIELD_INVALID", "webhook.url: no.", field="webhook.url", why="no")

    def refuse(message: Any) -> Any:
        raise refused

    platform.answers["CreateWebhook"] = refuse
    result = await dsr("webhook", "create", "--url", "x")
    assert "Correct the field and send it again. It is given by --url." in result.err
    unknown = await dsr("staff", "grant", "--grantee", "a", "--role", "king")
    assert (unknown.status, "privacy-officer" in unknown.err) == (2, True)


async def test_token(dsr: Dsr, platform: Platform) -> None:
    plain, strong = (
        await dsr("token"),
        await dsr("token", "--role", "ROLE_ADMIN", "--role", "ROLE_APPROVER", "--person"),
    )
    claims = [jwt.decode(one.out.strip(), options={"verify_signature": False}) for one in (plain, strong)]
    assert [one["roles"] for one in claims] == [["ROLE_READER"], ["ROLE_ADMIN", "ROLE_APPROVER"]]
    assert [one["actor_type"] for one in claims] == ["service", "person"]
    nobody = await dsr("token", "--credential", str(platform.credential_file), connected=False)
    assert (nobody.status, "--actor" in nobody.err) == (1, True)


async def test_errors_say_what_to_do_and_never_how_the_code_looks(dsr: Dsr, platform: Platform) -> None:
    absent = await dsr("access", "get", ABSENT)
    assert absent.status == 1
    assert absent.err.startswith("error NOT_FOUND: There is no such request.")
    assert "Check the name" in absent.err
    as_json = json.loads((await dsr("access", "get", ABSENT, "--json")).err)
    assert as_json["metadata"] == {"resource_type": "request"}
    cases = {
        ("access", "get", "1", "--target", "127.0.0.1:1"): "Check the target",
        ("access", "create", "/nowhere.json"): "/nowhere.json: No such file",
        ("access", "create", "-"): "not a JSON or YAML object",
        ("access", "create", "--capacity", "neighbour"): "self, guardian, agent, heir",
        ("access", "create", "--identity", "jane"): "type=value",
        ("access", "create", "--received-at", "soon"): "2026-01-31T12:00",
        ("access", "get", "partners/acme/holds/1"): "not the name of a request",
        ("access", "get", "1", "--target", "access=127.0.0.1:1"): "access, portability, erasure, governance",
        ("access", "get", "1", "--credential", "/nowhere"): "/nowhere is not a readable credential file",
        ("access", "get", "1", "--ca", "/nowhere"): "/nowhere",
    }
    for arguments, expected in cases.items():
        # What stands last wins, so what these cases give must come after what the fixture gives.
        common = ("--target", platform.target, "--credential", str(platform.credential_file), "--actor", "x")
        result = await dsr(*common, *arguments, connected=False)
        assert result.status == 1, arguments
        assert expected in result.err, (arguments, result.err)
        assert "Traceback" not in result.err
    nobody = ("--target", platform.target, "--credential", str(platform.credential_file))
    assert "--actor" in (await dsr("access", "get", "1", *nobody, connected=False)).err
    alone = await dsr("access", "get", "1", connected=False)
    assert "DSR_CREDENTIAL" in alone.err
    usage = await dsr("access", "nonsense")
    assert usage.status == 2


async def test_a_defect_shows_no_trace(dsr: Dsr, platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise KeyError("jane@example.org")

    monkeypatch.setattr("dsr.cli.output.render", broken)
    result = await dsr("access", "get", "1")
    assert result.status == 1
    assert "KeyError" in result.err
    assert "jane" not in result.err
    assert "Traceback" not in result.err


async def test_answers_cannot_steer_the_terminal(dsr: Dsr, platform: Platform) -> None:
    evil = "\x1b]0;owned\x07[red]x[/red]"
    platform.answers["GetAccessRequest"] = lambda m: access_pb2.AccessRequest(name=m.name, creator=evil)
    result = await dsr("access", "get", "1")
    assert "\x1b" not in result.out
    assert "[red]x[/red]" in result.out

    async def sly(message: Any) -> AsyncIterator[Any]:
        async for item in events(access_pb2.WatchAccessRequestResponse, message):
            item.event.type = evil
            yield item
        raise DsrError("NOT_FOUND", evil)

    platform.answers["WatchAccessRequest"] = sly
    watched = await dsr("access", "watch", "1")
    assert "\x1b" not in watched.out + watched.err


async def test_plugins(dsr: Dsr, monkeypatch: pytest.MonkeyPatch) -> None:
    group = typer.Typer()

    @group.command("hello")
    def hello(context: typer.Context) -> None:
        context.obj.out.print("hello", context.obj.actor)

    @group.command("bye")
    def bye() -> None:
        print("bye")  # noqa: T201

    class Entry:
        def __init__(self, name: str, loaded: Any) -> None:
            self.name, self.value, self._loaded = name, "somewhere:x", loaded

        def load(self) -> Any:
            if isinstance(self._loaded, Exception):
                raise self._loaded
            return self._loaded

    entries = [Entry("greet", group), Entry("single", bye), Entry("token", group), Entry("bad", ImportError("x"))]
    real = importlib.metadata.entry_points
    monkeypatch.setattr(
        importlib.metadata, "entry_points", lambda **g: entries if g == {"group": cli.PLUGINS} else real(**g)
    )
    assert (await dsr("greet", "hello")).out == "hello clerk-7\n"
    result = await dsr("single")
    assert result.out == "bye\n"
    assert "token" in result.err
    assert "ImportError" in result.err


async def test_help(dsr: Dsr) -> None:
    for words in ((), ("access",), ("erasure", "approve"), ("datamap", "put"), ("token",)):
        result = await dsr(*words, "--help", connected=False)
        assert result.status == 0
        assert "Usage: dsr" in result.out


def test_common_options_may_stand_anywhere() -> None:
    words = ["access", "get", "1", "--json", "--target", "a:1", "--actor=b", "--", "--json"]
    assert cli.hoist(words) == ["--json", "--target", "a:1", "--actor=b", "access", "get", "1", "--", "--json"]


async def test_a_terminal_of_80_columns_breaks_no_id_and_no_date(
    dsr: Dsr, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    names = [f"{PARTNER}/erasureRequests/{uuid.uuid4()}" for _ in range(2)]

    def request(name: str) -> Any:
        found = erasure_pb2.ErasureRequest(name=name, state=request_pb2.REQUEST_STATE_AWAITING_CONTROLLER)
        found.clock.due_time.FromJsonString("2026-01-31T11:00:00Z")
        progress = found.sources.add(source=f"{PARTNER}/dataSources/warehouse-archive", step="reverify", attempts=3)
        progress.waiting_reason = error_reason_pb2.ERROR_REASON_SOURCE_UNAVAILABLE
        progress.next_attempt_time.FromJsonString("2026-01-31T11:00:00Z")
        found.identities.add(type="customer_number", value="0042" * 9, source="s" * 20, collection="c" * 20)
        return found

    platform.answers["ListErasureRequests"] = lambda _: erasure_pb2.ListErasureRequestsResponse(
        erasure_requests=[request(name) for name in names]
    )
    listed = (await dsr("erasure", "list")).out
    lines = listed.splitlines()
    assert max(map(len, lines)) <= 80
    assert [line.split() for line in lines[1:]] == [
        [name.rpartition("/")[2], "AWAITING_CONTROLLER", "2026-01-31", "11:00"] for name in names
    ]
    platform.answers["GetErasureRequest"] = lambda message: request(message.name)
    shown = (await dsr("erasure", "get", names[0])).out
    assert max(map(len, shown.splitlines())) <= 80
    for whole in (names[0], "warehouse-archive", "SOURCE_UNAVAILABLE", "2026-01-31 11:00", "0042" * 9, "c" * 20):
        assert any(whole in line for line in shown.splitlines()), (whole, shown)


async def test_watch_passes_by_where_a_request_once_waited(dsr: Dsr, platform: Platform) -> None:
    over = [request_pb2.REQUEST_STATE_LOCATING, request_pb2.REQUEST_STATE_PLANNED, request_pb2.REQUEST_STATE_COMPLETED]

    async def told(message: Any) -> AsyncIterator[Any]:
        for number, state in enumerate(over, 1):
            item = erasure_pb2.WatchErasureRequestResponse()
            item.event.event, item.event.state, item.event.type = number, state, "state.changed"
            if number > message.after_event:
                yield item

    def standing(now: request_pb2.RequestState.ValueType) -> Callable[[Any], Any]:
        return lambda message: erasure_pb2.ErasureRequest(name=message.name, state=now)

    platform.answers["WatchErasureRequest"] = told
    for now, seen in ((over[2], 3), (over[1], 2)):
        platform.answers["GetErasureRequest"] = standing(now)
        result = await dsr("erasure", "watch", "1", "--json")
        assert len(result.out.splitlines()) == seen
        assert result.status == (0 if now == over[2] else 3)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ('{"clock": {"receivedTime": "jane"}}', "clock.receivedTime can't have that value."),
        ('{"subject": {"identities": [{"type": "jane", "value": 5}]}}', "subject.identities.value can't have"),
        ('{"subject": {"identities": [{"typo": "jane"}]}}', "there is no field subject.identities.typo."),
        ('{"subjekt": "jane"}', "there is no field subjekt."),
        ('{"subject": "jane"', "standard input is neither JSON nor YAML at line 1."),
    ],
)
async def test_what_does_not_fit_is_told_by_field_and_not_by_value(dsr: Dsr, document: str, said: str) -> None:
    result = await dsr("access", "create", "-", stdin=document)
    assert result.status == 1
    assert said in result.err
    assert "standard input" in result.err
    assert "jane" not in result.err
