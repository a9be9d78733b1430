"""What the source holds, as its options declare it, and whether it can be worked with."""

from collections.abc import Iterator

from dsr.connector.v1 import connector_pb2 as pb

from connectors.objects import keys
from connectors.objects.count import telling
from connectors.objects.export import fields, primary_key
from connectors.objects.inactive import tells_last_use
from connectors.objects.options import Collection, Options

VERSION = "1"
_ALWAYS = (pb.CAPABILITY_EXPORT, pb.CAPABILITY_ERASE, pb.CAPABILITY_RETURN, pb.CAPABILITY_DESTROY)
_MATCHES = {"exact": pb.IdentityField.MATCH_EXACT, "case_fold": pb.IdentityField.MATCH_CASE_FOLD}


def describe(kind: str, options: Options) -> pb.DescribeResponse:
    """The whole description but for findings about the store."""
    return pb.DescribeResponse(
        connector=kind,
        version=VERSION,
        capabilities=[*_ALWAYS, *counting(options)],
        collections=[collection(name, declared) for name, declared in options.collections.items()],
        findings=list(_findings(options)),
        max_records_per_subject=options.max_records_per_subject,
    )


def counting(options: Options) -> Iterator["pb.Capability.ValueType"]:
    """What can be said of people, as they are declared."""
    if tells_last_use(options):
        yield pb.CAPABILITY_INACTIVE
    if telling(options):
        yield pb.CAPABILITY_COUNT


def collection(name: str, declared: Collection) -> pb.Collection:
    """One collection, as it is declared."""
    return pb.Collection(
        name=name,
        fields=fields(declared),
        primary_key=primary_key(declared),
        identity_fields=[
            pb.IdentityField(
                field=variable,
                type=declared.type_of(variable),
                match=_MATCHES[declared.identity[variable].match],
                unique=declared.identity[variable].unique,
            )
            for variable in declared.names
        ],
        no_personal_data=declared.no_personal_data,
        record_estimate=-1,
    )


def _findings(options: Options) -> Iterator[pb.Finding]:
    for name, collection in options.collections.items():
        if collection.no_personal_data:
            continue
        prefix = keys.prefix(collection.pattern)
        if collection.lake:
            detail = "Every search reads every version of every object. Keep the prefix narrow and history short."
            yield pb.Finding(code="SCAN", collection=name, detail=detail)
        elif collection.tagged:
            detail = "Every search asks each object for its tags or metadata. An identity in the key is found at once."
            yield pb.Finding(code="SCAN", collection=name, detail=detail)
        elif any(keys.prefix(collection.pattern, v, "\0") == prefix for v in collection.pattern.variables):
            detail = "Every search lists the whole prefix. Put the identity before the first `*`."
            yield pb.Finding(code="SCAN", collection=name, detail=detail)
