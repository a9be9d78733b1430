"""What the documentation shows can be used as it stands."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from connectors.config import SourcesFile, load
from connectors.filesystem.options import Options

DOCS = Path(__file__).parents[3] / "docs"


def examples(document: str) -> list[Any]:
    blocks = re.findall(r"^```yaml\n(.*?)^```", (DOCS / document).read_text(), re.DOTALL | re.MULTILINE)
    return [yaml.safe_load(block) for block in blocks]


@pytest.mark.parametrize("document", ["connector-spec.md", "connectors/filesystem.md"])
def test_examples_of_sources_are_valid(document: str, tmp_path: Path) -> None:
    (example,) = examples(document)
    path = tmp_path / "sources.yaml"
    path.write_text(yaml.safe_dump({"grant_keys": "grants.json", **example}))
    file: SourcesFile = load(path)
    options = [Options.model_validate(e.options) for e in file.sources.values() if e.kind == "filesystem"]
    assert len(options) == 1
