"""Every `dsr` command, run against the real services as its help shows it.

The stories say who runs which command, in an order that works. A public RPC that no command of them calls fails the
last test: it needs an example in `dsr.cli.commands` and a place in a story, or a reason in WITHOUT_COMMAND.
"""

import asyncio
import contextlib
import io
import json
import secrets
import shlex
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from dsr import cli
from dsr.cli import calls, commands
from dsr.credentials import Credential
from dsr.ledger import SigningKey
from dsr.services import descriptors
from dsr.speaker import Speaker

from deploy.local.postgres import Cluster
from tests.support.policies import appoint, appoint_officers
from tests.support.services import World, open_world

WITHOUT_COMMAND: Mapping[str, str] = {}
"""Public RPCs that no command calls, and why."""

STAFF = {"olga": "", "oskar": "", "petra": "privacy-officer", "dora": "dpo", "ed": "engineer"}
"""Who speaks with the operator's credential, and as what."""

METHODS = {" ".join(calls.words_of(method)): method for method in calls.methods()}


@dataclass
class Told:
    """What a command said."""

    status: int
    out: str
    err: str


@dataclass
class Desk:
    """Where everybody of the story sits."""

    world: World
    names: dict[str, str] = field(default_factory=dict)
    called: set[str] = field(default_factory=set)

    async def run(self, who: str, *words: str, stdin: str = "") -> Told:
        credential = self.world.folder / ("operator.json" if who in STAFF else "acme.json")
        target = ",".join(f"{name}=127.0.0.1:{port}" for name, port in self.world.ports.items())
        common = ["--target", target, "--credential", str(credential), "--actor", who]
        if STAFF.get(who):
            common += ["--as-role", STAFF[who]]
        return await asyncio.to_thread(_run, [*words, *common], stdin)

    async def json(self, who: str, *words: str, refused: str = "", stdin: str = "") -> Any:
        """The answer. The names in it are remembered, for those who come after."""
        told = await self.run(who, *words, "--json", stdin=stdin)
        line = f"{who}: dsr {shlex.join(words)}\n{told.err}"
        if refused:
            assert told.status == 1, line
            assert json.loads(told.err.splitlines()[-1])["reason"] == refused, line
            return None
        assert told.status == 0, line
        assert told.err == "", line
        answer = json.loads(told.out) if told.out else None
        for one in reversed(answer) if isinstance(answer, list) else [answer]:  # the newest stands first
            name = one.get("name", "") if isinstance(one, dict) else ""
            if "/" in name:
                self.names[name.split("/")[-2]] = name
        return answer

    async def does(self, who: str, *lines: str, more: tuple[str, ...] = (), refused: str = "") -> Any:
        """Runs the example of each of these commands; returns the last answer."""
        answer = None
        for line in lines:
            command = commands.COMMANDS[METHODS[line].name]
            day = (datetime.now(UTC) + timedelta(days=60)).date().isoformat()
            words = shlex.split(command.example.format_map({**self.names, "day": day}))
            words = [self._placed(word, command.file) for word in words]
            agreed = ("--yes",) if command.ask else ()
            answer = await self.json(who, *line.split(), *words, *agreed, *more, refused=refused)
        return answer

    def _placed(self, word: str, content: str) -> str:
        """Files are in the folder of the test, written when the command reads them; the web is this machine."""
        word = word.replace("https://acme.example/", "http://127.0.0.1:9/")
        path = self.world.folder / word
        if content and word.endswith(".yaml"):
            path.write_text(content)
        return str(path) if path.suffix in (".yaml", ".html") else word


def _run(words: list[str], stdin: str) -> Told:
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdin", io.StringIO(stdin))
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended:
            cli.main(words)
    return Told(int(ended.value.code or 0), out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def quiet() -> Iterator[None]:
    """The services log to the standard output that the command is watched on."""
    before = structlog.get_config()
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    yield
    structlog.configure(**before)


@pytest.fixture(scope="module")
async def desk(postgres: Cluster, template: str, quiet: None) -> AsyncIterator[Desk]:
    name = f"commands_{secrets.token_hex(6)}"
    postgres.create_database(name, template=template)
    with tempfile.TemporaryDirectory(prefix="dsr-commands-") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "200")
        async with open_world(Path(folder), postgres, name) as world:
            await appoint_officers(world)
            await appoint(world, "ed", "ROLE_ENGINEER")
            opened = Desk(world)
            token = Speaker.token

            def heard(speaker: Speaker, path: str) -> str:
                opened.called.add(path.strip("/").replace("/", "."))
                return token(speaker, path)

            patch.setattr(Speaker, "token", heard)
            yield opened
    postgres.drop_database(name)


@pytest.mark.parametrize("right", ["access", "portability", "erasure"])
async def test_requests(desk: Desk, right: str) -> None:
    person = {"subject": {"identities": [{"type": "email", "value": "joann@example.com"}]}}
    about = ["--received-at", "now", "--capacity", "self", "--verified-at", "now", "--verified-by", "clerk-7"]
    about += ["--verification", "account-login", *(["--ground", "objection"] if right == "erasure" else [])]

    async def create() -> str:
        made = await desk.json("alice", right, "create", "-", *about, stdin=json.dumps(person))
        return str(made["name"])

    name = await create()
    await desk.json("alice", right, "resolve", name, "--accept", "a", refused="STATE_CONFLICT")
    await desk.json("alice", right, "extend", name, "--reason", "complexity", "--subject-told-at", "now")
    if right == "erasure":
        plan = await desk.json("bob", right, "plan", name)
        await desk.json("bob", right, "approve", name, "--digest", plan["digest"])
    told = await desk.run("alice", right, "watch", name)
    assert told.status == 0, told.err
    assert (await desk.json("alice", right, "get", name))["state"] == "REQUEST_STATE_COMPLETED"
    await desk.json("alice", right, "list", "--state", "completed")
    await desk.json("alice", right, "download", name, "--to", str(desk.world.folder))
    await desk.json("alice", right, "cancel", name, refused="STATE_CONFLICT")
    if right == "erasure":
        got = await desk.json("rita", right, "certificate", name, "--to", str(desk.world.folder))
        await _is_proved(desk, got["path"], name)


async def _is_proved(desk: Desk, certificate: str, name: str) -> None:
    """What the certificate says stands in the ledger, which only grows; without a word of the operator but its key."""
    folder = desk.world.folder
    key = ("--ledger-key", str(folder / "ledger.vkey"))
    found = await desk.json("rita", "ledger", "verify", certificate, *key)
    assert (found["document"]["name"], found["number"]) == (name, 0)
    read = await desk.run("rita", "ledger", "verify", certificate, *key)
    assert "Certified: entry 0 of a ledger of 1" in read.out
    forged = folder / "forged.certificate"
    forged.write_bytes((folder / certificate).read_bytes().replace(b"RESULT_ERASED", b"RESULT_NOT_FOUND"))
    for wrong, why in ((forged, "isn't the one that the ledger has"), (folder / "acme.json", "not a certificate")):
        told = await desk.run("rita", "ledger", "verify", str(wrong), *key)
        assert (told.status, why in told.err) == (1, True), told.err
    told = await desk.run("rita", "ledger", "verify", certificate, "--ledger-key", "nowhere")
    assert (told.status, "neither a key nor a file" in told.err) == (1, True), told.err
    kept = folder / "ledger.checkpoint"
    assert (await desk.json("rita", "ledger", "check", str(kept), *key))["added"] == 1
    assert (await desk.json("rita", "ledger", "check", str(kept), *key))["added"] == 0
    # A ledger that had more entries once: signed by the operator, and kept.
    credential = Credential.load(folder / "ledger.json")
    kept.write_text(SigningKey(credential.issuer, credential.private_key).sign(2, bytes(32)))
    told = await desk.run("rita", "ledger", "check", str(kept), *key)
    assert (told.status, "it has 1 entries, and had 2" in told.err) == (1, True), told.err
    kept.write_text(kept.read_text().replace("\n2\n", "\n1\n"))
    told = await desk.run("rita", "ledger", "check", str(kept), *key)
    assert (told.status, "can't be trusted" in told.err) == (1, True), told.err
    await desk.does("rita", "ledger get", "ledger prove")


async def test_people_and_contracts(desk: Desk) -> None:
    await desk.does("adam", "contacts set", "contacts get", "operator get", "contract get", "notice list")
    await desk.does("adam", "webhook create", "webhook list", "webhook rotate-secret", "webhook delete")
    await desk.does("adam", "role grant")
    await desk.does("beth", "role confirm")
    await desk.does("adam", "role list", "role revoke")
    await desk.does("olga", "staff grant")
    await desk.does("oskar", "staff confirm")
    await desk.does("olga", "staff list", "staff revoke", "contract create", "contract set-standing")
    await desk.does("adam", "sandbox get", "sandbox advance-clock", "sandbox reset", refused="SANDBOX_MISMATCH")


async def test_data(desk: Desk) -> None:
    await desk.does("adam", "source create", "source get", "source list")
    where = ("--source", "crm", "--collection", "people", "--review-at", "2099-01-01", "--identity", "-")
    why = ("--reason", "eu-gdpr:JustificationA17LegalClaims", "--legal-reference", "BGB")
    await desk.json("adam", "hold", "place", *where, *why, stdin="email=eve@example.org\n")
    await desk.does("adam", "hold list", "hold suggestions", "hold release")
    stored = await desk.json("adam", "datamap", "get")
    await desk.json("adam", "datamap", "put", "-", stdin=json.dumps(stored))
    address = next(one for one in await desk.json("adam", "source", "list") if one["displayName"] == "crm")
    propose = ("connector", "propose", "crm", "--address", address["connectorAddress"])
    await desk.json("adam", *propose)
    await desk.does("adam", "connector list", "connector get", "connector withdraw")
    await desk.json("adam", *propose)
    await desk.does("beth", "connector confirm")


async def test_how_long_data_stays(desk: Desk) -> None:
    await desk.does("adam", "retention create", "retention get", "retention list")
    await desk.does("bob", "retention instruct")
    await desk.does("adam", "retention revoke-instruction", "sweep create", "sweep get", "sweep list")
    await desk.does("bob", "sweep approve", refused="STATE_CONFLICT")
    await desk.does("adam", "sweep cancel", "retention end")
    await desk.does("adam", "snapshot register", "snapshot list")
    desk.names["snapshots"] = (await desk.json("adam", "snapshot", "list"))[0]["name"]
    await desk.does("adam", "snapshot get", "restore announce", "restore get", "restore list")
    await desk.does("adam", "restore confirm-replay", "restore finish", "snapshot mark-destroyed")
    backups = desk.world.folder / "backups"
    backups.mkdir()
    (backups / "crm.dump").write_text("")
    where = ("--provider", "Amazon Web Services", "--site", "Dublin", "--country", "IE")
    assert len(await desk.json("adam", "snapshot", "scan", str(backups), "--source", "crm", *where)) == 2


async def test_corrections_and_whom_to_tell(desk: Desk) -> None:
    await desk.does("alice", "correction create", "correction get", "correction list", "correction extend")
    # Neither source declares a flag: there is no preview to approve.
    await desk.does("bob", "correction approve-task", refused="STATE_CONFLICT")
    made = desk.names["correctionRequests"]
    await desk.json("alice", "correction", "resolve", made, "--accept", "a", refused="STATE_CONFLICT")
    await desk.does("alice", "correction complete-task", "correction lift-restriction")
    await desk.does("alice", "correction create", "correction cancel")
    stored = await desk.json("adam", "datamap", "get")
    stored["sources"][1]["collections"][0]["recipients"] = ["DHL", "Mailchimp"]
    await desk.json("adam", "datamap", "put", "-", stdin=json.dumps(stored))
    change = {"source": "partners/acme/dataSources/shop", "collection": "orders", "field": "item", "value": "coffee"}
    wrong = {"subject": {"identities": [{"type": "email", "value": "ann@example.com"}]}, "changes": [change]}
    about = ("--kind", "rectification", "--received-at", "now", "--capacity", "self", "--verified-at", "now")
    known = ("--verification", "account-login", "--verified-by", "clerk-7")
    await desk.json("alice", "correction", "create", "-", *about, *known, stdin=json.dumps(wrong))
    await desk.does("alice", "correction complete-task", "recipient list", "recipient get", "recipient complete")
    await desk.json("alice", "correction", "create", "-", *about, *known, stdin=json.dumps(wrong))
    await desk.does("alice", "correction complete-task")


ACME = ("--partner", "acme")


@pytest.mark.policy(
    "P16", "staff reports snapshots and told recipients of what the operator keeps, and of nothing else"
)
async def test_staff_reports_what_is_the_operators(desk: Desk) -> None:
    await desk.does("ed", "snapshot register", "snapshot list", more=ACME)
    await desk.does("ed", "restore announce", "restore get", "restore list", more=ACME)
    await desk.does("ed", "restore confirm-replay", "restore finish", more=ACME)
    await desk.does("ed", "snapshot mark-destroyed", more=ACME)
    own = ("--id", "ledger", "--title", "Ledger", "--custody", "partner", "--provider", "Acme", "--site", "Dublin")
    await desk.json("adam", "source", "create", *own, "--country", "IE")
    kept: dict[str, Any] = {
        "source": "partners/acme/dataSources/ledger",
        "label": "l-1",
        "snapshotTime": "2026-01-31T02:00:00Z",
    }
    kept["location"] = {"provider": "Acme", "site": "Dublin", "country": "IE"}
    listing = json.dumps({"snapshots": [kept]})
    await desk.json("ed", "snapshot", "register", "-", *ACME, stdin=listing, refused="ROLE_REQUIRED")
    await desk.json("adam", "snapshot", "register", "-", stdin=listing)
    desk.names["snapshots"] = (await desk.json("adam", "snapshot", "list", "--source", "ledger"))[0]["name"]
    await desk.does("ed", "snapshot mark-destroyed", "restore announce", more=ACME, refused="ROLE_REQUIRED")
    listed = await desk.does("petra", "recipient list", more=ACME)
    open_ = {one["recipient"]: one["name"] for one in listed}
    assert set(open_) == {"DHL", "Mailchimp"}
    for recipient, refused in (("DHL", "ROLE_REQUIRED"), ("Mailchimp", "")):
        desk.names["recipientTasks"] = open_[recipient]
        done = await desk.does("petra", "recipient complete", refused=refused)
    assert done["completer"] == "urn:dsr:operator#petra"


async def test_refusals(desk: Desk) -> None:
    await desk.does("alice", "refusal create", "refusal get", "refusal list")
    where = ("--provider", "Luna", "--site", "Mare", "--country", "KP")
    moon = ("--id", "moon", "--title", "Moon", "--custody", "operator", "--address", "127.0.0.1:9", *where)
    await desk.json("adam", "source", "create", *moon, refused="INSTRUCTION_REFUSED")
    refused = await desk.json("adam", "refusal", "list", "--kind", "instruction")
    await desk.does("adam", "refusal object")
    assert await desk.does("olga", "refusal open-objections") == [refused[0]["name"]]
    await desk.does("olga", "refusal answer")


async def test_agreements_and_law(desk: Desk) -> None:
    await desk.does("olga", "place propose", "place withdraw", "place propose")
    await desk.does("adam", "place reject")
    await desk.does("olga", "place propose")
    await desk.does("adam", "place get", "place list", "place accept")
    await desk.does("olga", "place complete", refused="STATE_CONFLICT")  # it isn't the day yet
    await desk.does("adam", "safeguard create", "safeguard get", "safeguard list", "safeguard end")
    await desk.does("adam", "attestation create", "attestation get", "attestation list", "attestation end")
    await desk.does("adam", "subprocessor list", "subprocessor object", "subprocessor withdraw-objection")
    await desk.does("petra", "policy propose")
    await desk.does("dora", "policy publish")
    await desk.does("olga", "policy versions")
    await desk.does("adam", "policy list", "policy get", "policy reject", "policy accept")


async def test_breaches_and_records(desk: Desk) -> None:
    await desk.does("adam", "breach report", "breach get", "breach list")
    await desk.does("olga", "breach advance", "breach declare")
    await desk.does("adam", "breach record-decision", "breach download", "record list", "record export")
    await desk.does("dora", "record list", more=("--partner", "acme"))


async def test_the_end_of_a_contract(desk: Desk) -> None:
    await desk.does("adam", "termination create", "termination get")
    await desk.does("olga", "termination record-return")
    await desk.does("olga", "termination record-destruction", refused="STATE_CONFLICT")
    await desk.does("bob", "termination confirm-receipt", refused="STATE_CONFLICT")
    await desk.does("adam", "termination certificate", refused="STATE_CONFLICT")
    await desk.does("adam", "termination cancel")


def test_no_public_rpc_is_without_a_command(desk: Desk) -> None:
    public = {method.full_name for found in descriptors().values() for service in found for method in service.methods}
    assert public - desk.called == set(WITHOUT_COMMAND), "give it a command that a story runs, or a reason"
