"""What the documentation shows can be used as it stands."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from connectors.config import load, open_backends
from connectors.registry import KINDS, SANDBOXES
from dsrkit.config import ConfigError

DOCS = Path(__file__).parents[3] / "docs"
PAGES = sorted(path.name for path in (DOCS / "connectors").glob("*.md"))
DOCUMENTS = ("connector-spec.md", "operating.md", "kubernetes.md", *(f"connectors/{page}" for page in PAGES))
SOURCE = "partners/acme/dataSources/shop"


def blocks(document: str) -> Iterator[Any]:
    """The documents of YAML on a page, whatever a file of its own they are given."""
    for block in re.findall(r"^```yaml[^\n]*\n(.*?)^```", (DOCS / document).read_text(), re.DOTALL | re.MULTILINE):
        yield yaml.safe_load(block)


def sources(document: str) -> Iterator[dict[str, Any]]:
    """What a page shows, as files of sources."""
    for block in blocks(document):
        if "sources" in block:
            yield {"grant_keys": "grants.json", **block}
        elif document.startswith("connectors/"):
            entries = [block] if "kind" in block else _of_options(Path(document).stem, block)
            yield from ({"grant_keys": "grants.json", "sources": {SOURCE: entry}} for entry in entries)


def _of_options(page: str, options: dict[str, Any]) -> list[dict[str, Any]]:
    if page in KINDS:
        return [{"kind": page, "options": options}]
    # A lake is one in a folder and in a bucket.
    assert page == "lake"
    places = {"filesystem": {"root": "/srv/acme"}, "s3": {"bucket": "shop", "region": "eu-west-1"}}
    places["s3"]["credentials_file"] = "/run/secrets/shop-s3.json"
    return [{"kind": kind, "options": {**place, **options}} for kind, place in places.items()]


def test_every_kind_has_a_page_with_an_example_and_its_limits() -> None:
    assert {*KINDS} - SANDBOXES <= {page.removesuffix(".md") for page in PAGES}
    for page in PAGES:
        text = (DOCS / "connectors" / page).read_text()
        assert page == "remote.md" or list(blocks(f"connectors/{page}")), page
        assert page == "remote.md" or "\n## Limits\n" in text, page


@pytest.mark.parametrize(
    "document", ["connector-spec.md", "operating.md", "kubernetes.md", *(f"connectors/{page}" for page in PAGES)]
)
def test_examples_of_sources_are_valid(document: str, tmp_path: Path) -> None:
    found = list(sources(document))
    assert found or document == "connectors/remote.md"
    path = tmp_path / "sources.yaml"
    for number, example in enumerate(found):
        for entry in example["sources"].values():
            if "fingerprint_key" in entry:
                (tmp_path / "shop.key").write_bytes(b"k" * 32)
                entry["fingerprint_key"] = "shop.key"
        path.write_text(yaml.safe_dump(example))
        assert set(open_backends(path, load(path), tmp_path / str(number))) == set(example["sources"])
        # That is no accident: what isn't known is refused.
        for entry in example["sources"].values():
            entry["options"]["misspelt"] = True
        path.write_text(yaml.safe_dump(example))
        with pytest.raises(ConfigError, match="misspelt"):
            open_backends(path, load(path), tmp_path / str(number))
