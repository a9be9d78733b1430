"""The command of the suite: what is wrong with a call is said before anything is asked."""

import asyncio
import sys
from pathlib import Path

import pytest
import yaml
from dsr.conformance.__main__ import app
from dsr.conformance.bench import open_bench
from dsr.conformance.check import Verdict
from dsr.conformance.checks.describe import Sound
from dsr.conformance.material import Material
from dsr.conformance.runner import run
from dsr.conformance.tls import channel_credentials
from typer.testing import CliRunner, Result

from deploy.certificates import Authority
from dsrkit.tls import TlsFiles
from tests.conformance.harness import Keys, serve
from tests.conformance.test_conformance_filesystem import MATERIAL, SOURCE
from tests.conformance.test_conformance_liars import backends

NAME = "connector.acme.example"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys, material and certificates."""
    folder = tmp_path_factory.mktemp("command")
    Keys.make(folder)
    (folder / "material.yaml").write_text(yaml.safe_dump(MATERIAL))
    authority = Authority(folder / "ca", "acme")
    authority.issue(folder / "connector", "urn:acme:connector", [NAME])
    authority.issue(folder / "suite", "urn:acme:suite")
    return folder


def arguments(folder: Path, target: str, source: str = SOURCE) -> list[str]:
    credential, material = folder / "erasure.json", folder / "material.yaml"
    return [
        *("--target", target, "--source", source),
        *("--credential", str(credential), "--material", str(material), "--grant-key", str(folder / "grant-key.json")),
    ]


def called(folder: Path, *options: str, target: str = "127.0.0.1:1", source: str = SOURCE) -> Result:
    given = [str(folder / option) if "." in option or "/" in option else option for option in options]
    return CliRunner().invoke(app, [*arguments(folder, target, source), *given], env={"COLUMNS": "300"})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--ca", "none.crt"], "none.crt can't be read: No such file"),
        (["--ca", "material.yaml"], "material.yaml holds no PEM certificate"),
        (["--certificate", "suite/tls.crt"], "--certificate and --key belong together"),
        (["--certificate", "suite/tls.crt", "--key", "none.key"], "none.key can't be read"),
        (["--certificate", "suite/tls.crt", "--key", "suite/tls.crt"], "tls.crt holds no PEM key"),
        (["--certificate", "suite/tls.crt", "--key", "connector/tls.key"], "is not the key of the first certificate"),
        (["--server-name", "localhost"], "--server-name is about TLS"),
        (["--timeout", "0"], "--timeout must be 0.1 to 3600 seconds"),
        (["--timeout", "-5"], "--timeout must be 0.1 to 3600 seconds"),
        (["--timeout", "nan"], "--timeout must be 0.1 to 3600 seconds"),
    ],
)
def test_a_wrong_call_says_what_is_wrong(folder: Path, options: list[str], said: str) -> None:
    result = called(folder, *options)
    assert result.exit_code == 2
    assert said in result.output


def test_a_target_or_source_of_another_form_is_wrong(folder: Path) -> None:
    assert "--target must be host:port" in called(folder, target="garbage").output
    assert "--source must be partners/" in called(folder, source="files").output


@pytest.mark.parametrize("only", ["describe.", "locate."])
def test_who_is_not_there_has_to_be_started(folder: Path, only: str) -> None:
    result = called(folder, "--timeout", "3", "--only", only[:-1])
    assert result.exit_code == 1
    assert "there is no connection" in result.output
    assert "Connection refused" in result.output
    assert "Start the connector, or correct --target" in result.output
    assert "Describe names kind" not in result.output


async def run_command(*words: str) -> tuple[int | None, str]:
    command = [sys.executable, "-m", "dsr.conformance", *words, "--only", "describe.", "--json"]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=asyncio.subprocess.STDOUT)
    said, _ = await process.communicate()
    return process.returncode, said.decode()


@pytest.mark.policy("P9", "a connector that demands a certificate of its callers can be tested")
async def test_a_connector_with_mutual_tls_is_tested(tmp_path: Path, folder: Path) -> None:
    keys, honest = backends(tmp_path)
    own, suite = folder / "connector", folder / "suite"
    ca, pair = own / "ca.crt", (suite / "tls.crt", suite / "tls.key")
    async with serve(keys, honest, tls=TlsFiles(own / "tls.crt", own / "tls.key", ca).server()) as target:
        call = arguments(folder, target)
        call[call.index("--credential") + 1] = str(tmp_path / "erasure.json")
        files = ["--ca", str(ca), "--certificate", str(pair[0]), "--key", str(pair[1])]
        code, said = await run_command(*call, *files, "--server-name", NAME)
        assert code == 0, said
        assert '"HOLDS"' in said
        # Without a certificate of ours, and under a name that isn't in the connector's.
        for certificate, name in (((None, None), NAME), (pair, "")):
            tls = channel_credentials(ca, *certificate)
            who, what = keys.credential, Material.parse(MATERIAL)
            async with open_bench(target, SOURCE, who, what, None, 5.0, tls, name) as bench:
                (refused,) = [result async for result in run(bench, [Sound()])]
            assert refused.verdict is Verdict.FAILS
            assert refused.detail.startswith("there is no connection")
            assert "--server-name" in refused.remedy
