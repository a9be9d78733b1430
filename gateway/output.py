"""Messages as JSON: the proto3 mapping, as Envoy's transcoder prints it with the options in `deploy/envoy`.

lowerCamelCase names, 64-bit integers as strings, fields without presence always there (`""`, `"0"`, `false`, `[]`),
messages only when set.
"""

import json

from google.protobuf import json_format
from google.protobuf.message import Message


def to_json(message: Message) -> bytes:
    """The message on one line."""
    content = json_format.MessageToDict(message, always_print_fields_with_no_presence=True)
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
