"""Writes Envoy's configuration and the descriptor set it reads:

python -m deploy.envoy --port 8081 --access 127.0.0.1:7001 --portability … --erasure … --governance … FOLDER
envoy -c FOLDER/envoy.yaml --disable-hot-restart
"""

import argparse
import string
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.rpc import error_details_pb2

from gateway.routes import ALL_SERVICES, PUBLIC_SERVICES


def descriptor_set() -> bytes:
    """The public services and all they refer to, and the error details: without them Envoy answers errors empty."""
    found: dict[str, FileDescriptor] = {}

    def add(file: FileDescriptor) -> None:
        if file.name not in found:
            for dependency in file.dependencies:
                add(dependency)
            found[file.name] = file

    for file in [service.file for service in ALL_SERVICES] + [error_details_pb2.DESCRIPTOR]:
        add(file)
    files = FileDescriptorSet()
    for file in found.values():
        file.CopyToProto(files.file.add())
    return files.SerializeToString()


def write(folder: Path, port: int, upstreams: Mapping[str, str]) -> Path:
    """Writes `envoy.yaml` and `descriptors.pb` into `folder` and returns the path of the former."""
    descriptors, config = folder / "descriptors.pb", folder / "envoy.yaml"
    descriptors.write_bytes(descriptor_set())
    values = {
        "PORT": str(port),
        "DESCRIPTORS": str(descriptors),
        "SERVICES": ", ".join(service.full_name for service in ALL_SERVICES),
        "ROUTES": ", ".join(
            f"{{match: {{prefix: /{service.full_name}/}}, route: {{cluster: {name}, timeout: 0s}}}}"
            for name, services in PUBLIC_SERVICES.items()
            for service in services
        ),
    }
    for name, address in upstreams.items():
        host, _, number = address.rpartition(":")
        values |= {f"{name.upper()}_HOST": host, f"{name.upper()}_PORT": str(int(number))}
    template = resources.files("deploy.envoy").joinpath("transcoder.yaml").read_text()
    config.write_text(string.Template(template).substitute(values))
    return config


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m deploy.envoy", description="Writes Envoy's configuration.")
    parser.add_argument("--port", type=int, required=True, help="port on loopback")
    for name in PUBLIC_SERVICES:
        parser.add_argument(f"--{name}", required=True, metavar="HOST:PORT")
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    write(arguments.folder, arguments.port, {name: getattr(arguments, name) for name in PUBLIC_SERVICES})


if __name__ == "__main__":
    main()
