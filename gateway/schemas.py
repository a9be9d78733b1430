"""JSON Schemas of the contract's messages, as a caller sends them and as the gateway answers them."""

from collections.abc import Collection, Mapping
from typing import Any

from google.api import field_behavior_pb2
from google.protobuf import duration_pb2, timestamp_pb2
from google.protobuf.descriptor import FieldDescriptor

_F = FieldDescriptor
_B = field_behavior_pb2
_WIDE = {_F.TYPE_INT64, _F.TYPE_SINT64, _F.TYPE_SFIXED64, _F.TYPE_UINT64, _F.TYPE_FIXED64}
_NARROW = {_F.TYPE_INT32, _F.TYPE_SINT32, _F.TYPE_SFIXED32, _F.TYPE_UINT32, _F.TYPE_FIXED32}
_TIME: Mapping[str, Any] = {"type": "string", "format": "date-time"}
_DURATION: Mapping[str, Any] = {"type": "string", "pattern": r"^-?[0-9]{1,12}(\.[0-9]{1,9})?s$"}
Schema = dict[str, Any]


class Schemas:
    """Collects the schemas that others refer to.

    A message has two: what is sent (without output-only fields, closed) and what is answered (without input-only
    fields, open to fields that come later). Both carry the message's name; where both are needed the
    first is called `…Input`.
    """

    def __init__(self, comments: Mapping[str, str]) -> None:
        self._comments = comments
        self._messages: dict[tuple[str, bool], Schema] = {}
        self._enums: dict[str, Schema] = {}

    def comment(self, descriptor: Any) -> str:
        """The contract's comment on a message, field, enumeration, service or RPC."""
        return self._comments.get(descriptor.full_name, "")

    def message(self, descriptor: Any, *, sent: bool) -> Schema:
        """A reference to the schema of a message."""
        key = (descriptor.full_name, sent)
        if key not in self._messages:
            self._messages[key] = {}  # reserves the key: messages may refer to themselves
            self._messages[key] = self.object(descriptor, sent=sent)
        return {"$ref": f"{descriptor.full_name}|{sent}"}

    def object(self, descriptor: Any, *, sent: bool, without: Collection[str] = ()) -> Schema:
        """The schema of a message itself."""
        properties, required = {}, []
        for field in descriptor.fields:
            rules = behavior(field)
            hidden = {_B.OUTPUT_ONLY, _B.IDENTIFIER} if sent else {_B.INPUT_ONLY}
            if field.name in without or rules & hidden:
                continue
            properties[field.json_name] = self.field(field, sent=sent)
            if _B.REQUIRED in rules if sent else not field.has_presence:
                required.append(field.json_name)
        schema: Schema = {"type": "object", "description": self.comment(descriptor), "properties": properties}
        if required:
            schema["required"] = required
        if sent:
            schema["additionalProperties"] = False
        return schema

    def field(self, field: FieldDescriptor, *, sent: bool) -> Schema:
        """The schema of a field."""
        one = self._value(field, sent)
        schema = {"type": "array", "items": one} if field.is_repeated else one
        return {**schema, "description": self.comment(field)}

    def _value(self, field: FieldDescriptor, sent: bool) -> Schema:
        if field.message_type is not None:
            match field.message_type.full_name:
                case timestamp_pb2.Timestamp.DESCRIPTOR.full_name:
                    return dict(_TIME)
                case duration_pb2.Duration.DESCRIPTOR.full_name:
                    return dict(_DURATION)
            return self.message(field.message_type, sent=sent)
        if field.enum_type is not None:
            return self.enum(field.enum_type)
        if field.type in _WIDE:
            return {"type": "string", "format": "int64", "pattern": "^-?[0-9]{1,20}$"}
        if field.type in _NARROW:
            return {"type": "integer", "format": "int32"}
        if field.type == _F.TYPE_BOOL:
            return {"type": "boolean"}
        if field.type == _F.TYPE_BYTES:
            return {"type": "string", "contentEncoding": "base64"}
        return {"type": "string"} if field.type == _F.TYPE_STRING else {"type": "number"}

    def enum(self, enum: Any) -> Schema:
        """A reference to the schema of an enumeration."""
        if enum.full_name not in self._enums:
            meanings = {value.name: self._comments.get(f"{enum.full_name}.{value.name}", "") for value in enum.values}
            self._enums[enum.full_name] = {
                "type": "string",
                "description": self.comment(enum),
                "enum": list(meanings),
                "x-enum-descriptions": meanings,
            }
        return {"$ref": f"{enum.full_name}|"}

    def resolve(self, node: Any) -> Any:
        """The node with provisional references replaced by the components' final names."""
        if isinstance(node, dict):
            return {
                key: f"#/components/schemas/{self._final(value)}"
                if key == "$ref" and "|" in value
                else self.resolve(value)
                for key, value in node.items()
            }
        return [self.resolve(item) for item in node] if isinstance(node, list) else node

    def components(self) -> dict[str, Schema]:
        """Every schema referred to, by its final name."""
        found = {self._final(f"{name}|{sent}"): self.resolve(schema) for (name, sent), schema in self._messages.items()}
        found.update({self._final(f"{name}|"): schema for name, schema in self._enums.items()})
        return dict(sorted(found.items()))

    def _final(self, reference: str) -> str:
        name, _, sent = reference.partition("|")
        both = sent == "True" and (name, False) in self._messages
        # Without the package: `dsr.v1.ErasureRequest.Plan` is `ErasureRequest.Plan`.
        return name.split(".", 2)[2] + ("Input" if both else "")


def behavior(field: FieldDescriptor) -> set[int]:
    """The field's `google.api.field_behavior`."""
    return set(field.GetOptions().Extensions[field_behavior_pb2.field_behavior])
