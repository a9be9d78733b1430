"""The model in the contract's words."""

import json

from dsr.connector.v1 import connector_pb2 as pb

from connectors.relational.catalogue import Column
from connectors.relational.model import Collection, Finding, Flag, IdentityColumn, Model, Reference

_CAPABILITIES = (
    pb.CAPABILITY_EXPORT,
    pb.CAPABILITY_ERASE,
    pb.CAPABILITY_ANONYMISE,
    pb.CAPABILITY_ATOMIC,
    pb.CAPABILITY_INACTIVE,
    pb.CAPABILITY_AMEND,
    pb.CAPABILITY_COUNT,
    pb.CAPABILITY_RETURN,
    pb.CAPABILITY_DESTROY,
)
_MATCHES = {
    "exact": pb.IdentityField.MATCH_EXACT,
    "case_fold": pb.IdentityField.MATCH_CASE_FOLD,
    "e164": pb.IdentityField.MATCH_E164,
}


def describe(model: Model, connector: str, version: str, max_records: int) -> pb.DescribeResponse:
    """Every table of the source, those without personal data and the undeclared ones included."""
    response = pb.DescribeResponse(
        connector=connector,
        version=version,
        capabilities=_CAPABILITIES,
        findings=map(finding_message, model.findings),
        max_records_per_subject=max_records,
    )
    for name, table in model.tables.items():
        collection = model.collections.get(name)
        response.collections.add(
            name=name,
            fields=[_field(column, collection) for column in table.columns],
            primary_key=[column.name for column in table.key] if table.keyed else [],
            references=map(_reference, model.references[name]),
            identity_fields=map(_identity, collection.identities) if collection else [],
            people=collection.people if collection else False,
            no_personal_data=name in model.unpersonal,
            record_estimate=table.estimate,
            flags=map(_flag, collection.flags) if collection else [],
        )
    return response


def _field(column: Column, collection: Collection | None) -> pb.Field:
    field = field_message(column)
    field.amendable = collection is not None and column.name in collection.amendable
    return field


def _flag(flag: Flag) -> pb.Flag:
    """JSON as the declaration meant it: `true`, `1` or `"yes"`."""
    plain = flag.column.schema_type in ("boolean", "integer")
    set_value, clear_value = (text if plain else json.dumps(text) for text in (flag.set, flag.clear))
    return pb.Flag(name=flag.name, field=flag.column.name, set_value=set_value, clear_value=clear_value)


def field_message(column: Column) -> pb.Field:
    return pb.Field(
        name=column.name,
        type=column.schema_type,
        native_type=column.native_type,
        nullable=column.nullable,
        generated=column.generated,
    )


def finding_message(finding: Finding) -> pb.Finding:
    return pb.Finding(
        code=finding.code, collection=finding.collection, detail=finding.detail, blocks_erasure=finding.blocks
    )


def _reference(reference: Reference) -> pb.Reference:
    ownership = f"OWNERSHIP_{reference.ownership}" if reference.declared else "OWNERSHIP_UNSPECIFIED"
    return pb.Reference(
        name=reference.name,
        fields=reference.columns,
        target=reference.target,
        target_fields=reference.target_columns,
        ownership=pb.Reference.Ownership.Value(ownership),
        reason=reference.reason,
        on_delete=reference.on_delete,
    )


def _identity(identity: IdentityColumn) -> pb.IdentityField:
    return pb.IdentityField(
        field=identity.column.name, type=identity.type, match=_MATCHES[identity.match], unique=identity.unique
    )
