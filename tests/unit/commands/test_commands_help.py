"""What commands made from RPCs look like: pure, by the descriptors."""

import contextlib
import io
import re
import shlex
from pathlib import Path
from typing import Any

import jwt
import pytest
import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from dsr import cli
from dsr.cli import calls, commands, manual, options
from dsr.cli.terminal import Terminal
from dsr.credentials import Credential
from dsr.speaker import Speaker
from dsr.v1 import options_pb2, request_pb2, retention_pb2
from google.protobuf.descriptor import Descriptor, MethodDescriptor

BY_HAND = {"datamap put", "datamap get", "connector propose", "hold place", "correction resolve"}
ROOT = Path(__file__).parents[3]
PAGES = [
    page for page in (ROOT / "contracts" / "README.md", *(ROOT / "docs").rglob("*.md")) if "dsr " in page.read_text()
]
METHODS = list(calls.methods())


def shown(*words: str) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), pytest.raises(SystemExit) as ended:
        cli.main([*words, "--help"])
    assert ended.value.code == 0
    return " ".join(out.getvalue().replace("│", " ").split())


def command(method: MethodDescriptor) -> commands.Command:
    return commands.COMMANDS.get(method.name, commands.Command())


def test_no_two_rpcs_are_one_command() -> None:
    words = [calls.words_of(method) for method in METHODS]
    assert len(set(words)) == len(words)


def test_what_is_said_of_commands_is_said_of_rpcs_that_exist() -> None:
    assert set(commands.COMMANDS) <= {method.name for method in METHODS}
    told = {method.name for method in METHODS if method.name in commands.COMMANDS}
    by_hand = {"GetDataMap", "PlaceHold"}
    assert {method.name for method in METHODS} - told == by_hand, "say an example of it in dsr.cli.commands"


def test_columns_are_fields() -> None:
    for method in METHODS:
        repeated = [field for field in method.output_type.fields if field.is_repeated]
        for column in command(method).columns:
            kind: Descriptor | None = repeated[0].message_type
            for name in column.split("."):
                assert kind is not None
                kind = kind.fields_by_name[name].message_type


def test_help_says_what_for_whom_and_how() -> None:
    whole: Any = typer.main.get_command(cli.build(Terminal()))
    for method in METHODS:
        noun, verb = calls.words_of(method)
        made = whole.commands[noun].commands[verb]
        if f"{noun} {verb}" in BY_HAND:
            assert made.callback.__doc__, (noun, verb)
            continue
        assert made.help == manual.of_method(method)
        assert made.help.count("\n\n") >= 1, "what it does, and for whom"
        assert f"For example: dsr {noun} {verb} {command(method).shown()}".strip() in made.epilog
        assert all(parameter.help for parameter in made.params), (noun, verb)
        there = {name for parameter in made.params for name in parameter.opts}
        assert there >= {f"--{one.word}" for one in options.of(method.input_type, command(method).rename).plain}


def test_every_example_is_a_command_that_is_there() -> None:
    whole: Any = typer.main.get_command(cli.build(Terminal()))
    own = {*commands.NOUNS, "access", "portability", "erasure"}
    every = [(noun, verb, made) for noun in own for verb, made in whole.commands[noun].commands.items()]
    for noun, verb, made in every:
        line = made.epilog.split("\n\n")[0]
        assert line.startswith(f"For example: dsr {noun} {verb}"), (noun, verb)
        words = shlex.split(line)[5:]
        there = {name for parameter in [*made.params, *whole.params] for name in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= there, line
        assert words or not [one for one in made.params if one.required], line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_in_documents_are_there(page: Path) -> None:
    whole: Any = typer.main.get_command(cli.build(Terminal()))
    common = {name for parameter in whole.params for name in parameter.opts}
    for line in re.findall(r"^(?: {4})?dsr (.+)$", page.read_text().replace("\\\n", " "), re.M):
        made, words = whole, shlex.split(re.split(r" [>|#&]", line)[0], comments=True)
        options_ = {word.partition("=")[0] for word in words if word.startswith("--")}
        for word in cli.hoist(words):
            made = getattr(made, "commands", {}).get(word, made)
        assert not hasattr(made, "commands"), line
        assert options_ <= {name for parameter in made.params for name in parameter.opts} | common, line


def test_help_as_a_person_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    assert "Legal holds" in shown()
    text = shown("breach", "record-decision")
    for said in (
        "Records, as the controller, that the supervisory authority",
        "Who: partner (requester, admin).",
        "Errors: NOT_FOUND, FIELD_INVALID",
        "told: They were told.",
        "For example: dsr breach record-decision ID --audience authority --kind told",
    ):
        assert said in text


def test_what_is_personal_has_no_option() -> None:
    taken = {"target", "credential", "actor", "partner", "ca", "certificate", "key", "as-role", "json", "help"}
    for method in METHODS:
        found = options.of(method.input_type, command(method).rename)
        for option in found.plain:
            assert not option.field.GetOptions().Extensions[options_pb2.personal]
        assert not found.personal or found.in_file
        assert not taken & {option.word for option in found.plain}, f"{method.name}: the common options are taken"


def test_words_of_enumerations_lose_what_all_of_them_begin_with() -> None:
    assert list(manual.words(request_pb2.Extension.Reason.DESCRIPTOR)) == ["complexity", "high-volume"]
    assert manual.words(options_pb2.Role.DESCRIPTOR)["privacy-officer"] == options_pb2.ROLE_PRIVACY_OFFICER
    assert "partially-erased" in manual.words(request_pb2.RequestState.DESCRIPTOR)


def test_options_fill_a_request() -> None:
    terminal = Terminal(partner_id="acme")
    found = options.of(retention_pb2.CreateRetentionRuleRequest.DESCRIPTOR, {})
    request: Any = retention_pb2.CreateRetentionRuleRequest()
    request.retention_rule.collection = "from the file"
    given = {"source": "crm", "months": 36, "field": None}
    for option in found.plain:
        option.put(request, given.get(option.word), terminal)
    rule = request.retention_rule
    assert (rule.source, rule.months, rule.collection) == ("partners/acme/dataSources/crm", 36, "from the file")
    assert {option.word for option in found.plain if option.required} == {
        "source",
        "collection",
        "field",
        "identity-type",
    }


@pytest.mark.parametrize(
    ("issuer", "asked", "rpc", "spoken"),
    [
        ("urn:dsr:partner:acme", "", "/dsr.v1.GovernanceService/GetPartner", "ROLE_ADMIN"),
        ("urn:dsr:operator", "", "/dsr.v1.GovernanceService/GetPartner", "ROLE_SUPPORT"),
        ("urn:dsr:operator", "ROLE_DPO", "/dsr.v1.GovernanceService/GetPartner", "ROLE_DPO"),
        ("urn:dsr:operator", "", "/dsr.v1.StaffService/GrantStaffRole", "ROLE_OPERATOR"),
        ("urn:dsr:operator", "", "/dsr.v1.NotificationService/GetContacts", "ROLE_OPERATOR"),
        ("urn:dsr:partner:acme", "", "/dsr.v1.StaffService/GrantStaffRole", "ROLE_READER"),
    ],
)
def test_a_credential_speaks_in_a_role_that_it_may_have(issuer: str, asked: str, rpc: str, spoken: str) -> None:
    key = Ed25519PrivateKey.generate()
    token = Speaker(Credential(issuer, "k", key), "dora", role=asked).token(rpc)
    assert jwt.decode(token, options={"verify_signature": False})["roles"] == [spoken]
