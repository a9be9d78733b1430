"""Writes what `dsr … --help` says of the contract: `python scripts/manual.py [contracts/src/dsr/cli/manual.json]`.

The comments of the public RPCs, of what their requests are made of, and of the words that fields may have. Generated
code has no comments, so this needs the protos themselves. Run after `scripts/gen.sh`.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor import Descriptor

sys.path.insert(0, str(Path(__file__).resolve().parent))

from dsr.services import descriptors as services
from openapi import ROOT, comments_of, descriptors


def wanted() -> Iterator[str]:
    """Full names of what a command's help may speak of."""
    seen: set[str] = set()
    for method in (one for found in services().values() for service in found for one in service.methods):
        yield method.full_name
        yield from _within(method.input_type, seen)


def _within(message: Descriptor, seen: set[str]) -> Iterator[str]:
    if message.full_name in seen or not message.full_name.startswith("dsr."):
        return
    seen.add(message.full_name)
    for field in message.fields:
        yield field.full_name
        if field.enum_type is not None:
            scope = field.enum_type.full_name
            yield from (f"{scope}.{value.name}" for value in field.enum_type.values if value.number)
        elif field.message_type is not None:
            yield from _within(field.message_type, seen)


def main() -> None:
    """The script."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "contracts" / "src" / "dsr" / "cli" / "manual.json"
    comments = comments_of(descriptors())
    said = {name: comments.get(name, "") for name in sorted(set(wanted()))}
    found = {name: text for name, text in said.items() if text and not text.startswith("Output only.")}
    target.write_text(json.dumps(found, indent=0, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
