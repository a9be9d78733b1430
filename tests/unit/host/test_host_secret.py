"""A source's secret stands in one place, and an error never shows it."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from connectors import secret
from dsrkit.errors import DsrError

GIVEN = SecretStr("redis://user:hunter2@127.0.0.1")


def test_a_secret_is_given_or_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text(f"{GIVEN.get_secret_value()}\n")
    assert secret.read("url", GIVEN, None) == secret.read("url", None, file) == GIVEN


@pytest.mark.parametrize("content", [None, b"hunter2\xff"])
def test_a_file_that_cant_be_read_is_named_and_not_shown(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "url").write_bytes(content)
    with pytest.raises(DsrError, match=r"options\.url_file") as refused:
        secret.read("url", None, tmp_path / "url")
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(("given", "file"), [(None, None), (GIVEN, Path("/x"))])
def test_it_is_given_one_way(given: SecretStr | None, file: Path | None) -> None:
    with pytest.raises(ValueError, match="exactly one of url and url_file"):
        secret.check_one("url", given, file)
