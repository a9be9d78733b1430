"""Writes the OpenAPI description of the gateway: `python scripts/openapi.py [gateway/openapi.json]`.

Needs the protos themselves, since generated code has no comments. Run after `scripts/gen.sh`.
"""

import json
import sys
import tempfile
from importlib import resources
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from gateway.comments import comments_of  # noqa: E402
from gateway.openapi import document  # noqa: E402
from gateway.routes import ALL_SERVICES, PUBLIC_SERVICES, routes_of  # noqa: E402


def descriptors() -> FileDescriptorSet:
    """The protos of this repository, with their comments."""
    protos = ROOT / "protos"
    google = resources.files("google.api").joinpath("annotations.proto")
    with tempfile.TemporaryDirectory() as folder, resources.as_file(google) as annotations:
        out = Path(folder) / "set.pb"
        arguments = [
            "protoc",
            f"-I{protos}",
            f"-I{annotations.parent.parent.parent}",
            f"-I{resources.files('grpc_tools').joinpath('_proto')}",
            "--include_source_info",
            "--include_imports",
            f"--descriptor_set_out={out}",
            *sorted(str(path.relative_to(protos)) for path in protos.rglob("*.proto")),
        ]
        if protoc.main(arguments) != 0:
            sys.exit("openapi: protoc failed")
        return FileDescriptorSet.FromString(out.read_bytes())


def main() -> None:
    """The script."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "gateway" / "openapi.json"
    found = document(routes_of(PUBLIC_SERVICES), ALL_SERVICES, comments_of(descriptors()))
    target.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
