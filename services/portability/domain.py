"""The right to data portability: its names, and what follows what."""

from dsr.authority.v1.authority_pb2 import RIGHT_PORTABILITY

from dsrkit.requests.copying import advance
from dsrkit.requests.model import Right

RIGHT = Right("portability", "portabilityRequests", RIGHT_PORTABILITY)

__all__ = ["RIGHT", "advance"]
