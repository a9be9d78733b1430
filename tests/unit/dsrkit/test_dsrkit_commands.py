"""`dsr partner`: a trust file that nobody reads and a partner that nobody can create are said, not made."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from dsrkit.commands import app


def test_a_trust_file_is_made_only_when_asked_for(tmp_path: Path) -> None:
    trust, out = tmp_path / "nope" / "trust.json", tmp_path / "acme.json"
    arguments = ["create", "acme", "--out", str(out), "--trust", str(trust)]
    mistaken = CliRunner().invoke(app, arguments)
    assert mistaken.exit_code == 1
    assert "--new" in mistaken.stderr
    assert list(tmp_path.iterdir()) == []
    assert CliRunner().invoke(app, [*arguments, "--new"]).exit_code == 0
    assert trust.exists()
    again = CliRunner().invoke(app, ["create", "globex", "--out", str(out), "--trust", str(trust), "--new"])
    assert "exists" in again.stderr
    assert CliRunner().invoke(app, ["create", "globex", "--out", str(out), "--trust", str(trust)]).exit_code == 0


@pytest.mark.parametrize("partner", ["New Co", "q", "Acme", "-acme", "acme-", "a" * 41, "partners/acme", "acme\n"])
def test_an_id_that_no_partner_can_have_is_refused(tmp_path: Path, partner: str) -> None:
    arguments = ["--out", str(tmp_path / "x.json"), "--trust", str(tmp_path / "trust.json"), "--new"]
    refused = CliRunner().invoke(app, ["create", *arguments, "--", partner])
    assert refused.exit_code == 1
    assert "3 to 40" in refused.stderr
    assert list(tmp_path.glob("*.json")) == []
