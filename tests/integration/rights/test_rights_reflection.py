"""What a tool such as grpcurl learns of a running service without having its protos."""

import asyncio
from collections.abc import Iterable

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from tests.support.services import World


def described(port: int, services: Iterable[str]) -> tuple[set[str], dict[str, set[str]]]:
    """All services listed, and the methods of these."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        pool = DescriptorPool(database)
        found = {name: set(pool.FindServiceByName(name).methods_by_name) for name in services}
        return set(database.get_services()), found


@pytest.mark.parametrize("right", ["access", "portability", "erasure"])
async def test_a_service_describes_itself(world: World, right: str) -> None:
    name = f"dsr.v1.{right.title()}Service"
    # In a thread, because the reflection client is a synchronous one.
    listed, found = await asyncio.to_thread(described, world.ports[right], [name])
    assert {name, "grpc.health.v1.Health"} <= listed
    assert {f"Create{right.title()}Request", f"Watch{right.title()}Request"} <= found[name]
