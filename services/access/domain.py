"""The right of access: its names, and what follows what."""

from dsr.authority.v1.authority_pb2 import RIGHT_ACCESS

from dsrkit.requests.copying import advance
from dsrkit.requests.model import Right

RIGHT = Right("access", "accessRequests", RIGHT_ACCESS)

__all__ = ["RIGHT", "advance"]
