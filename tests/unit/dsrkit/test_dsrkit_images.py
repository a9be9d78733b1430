"""What goes into the container image, read from the lock."""

import re
from pathlib import Path

from deploy.images.__main__ import LOCAL_ONLY, bill, blocks, main, of_image

ROOT = Path(__file__).parents[3]
LOCK = (ROOT / "requirements.txt").read_text()


def test_every_pin_of_the_lock_is_seen_and_has_its_hashes() -> None:
    assert len(blocks(LOCK)) == len(re.findall(r"^\S+==", LOCK, re.MULTILINE)) > 50
    assert all("--hash=sha256:" in text for _, _, text in blocks(LOCK))


def test_the_image_has_all_that_runs_and_no_database_server(tmp_path: Path) -> None:
    main(ROOT / "requirements.txt", ROOT / "requirements-dev.txt", tmp_path)
    assert " ; " not in (tmp_path / "requirements.txt").read_text()
    names = {name for name, _, _ in blocks((tmp_path / "requirements.txt").read_text())}
    assert {"grpcio", "asyncpg", "uvloop", "cryptography"} <= names
    assert not names & (LOCAL_ONLY | {"colorama"})
    assert {name for name, _, _ in blocks(LOCK)} - names <= LOCAL_ONLY | {"colorama"}


def test_each_package_is_in_the_image_once_and_in_the_bill_of_materials() -> None:
    pins = of_image(LOCK)
    names = [name for name, _, _ in pins]
    assert len(names) == len(set(names))
    components = bill(pins)["components"]
    assert [(c["name"], c["version"]) for c in components] == [(name, version) for name, version, _ in pins]
    assert all(c["properties"] for c in components)
