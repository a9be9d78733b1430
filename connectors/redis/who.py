"""Whom a key or an entry names, whoever that is."""

from collections.abc import Iterator, Sequence

from connectors.redis import content, documents, keys
from connectors.redis.content import Part
from connectors.redis.options import Collection

Names = list[tuple[str, str]]
"""(name, value) pairs, by the collection's names."""


def in_key(collection: Collection, key: bytes) -> Names:
    """The identities in a key's own name."""
    return list((keys.read(collection.pattern, keys.text(key)) or {}).items())


def in_document(collection: Collection, document: documents.Document) -> Names:
    """The identities in content. What can't be read names nobody."""
    if isinstance(document, documents.Broken):
        return []
    pairs = zip(collection.inside, collection.rules, strict=True)
    return [(name, value) for name, rule in pairs for (value,) in sorted(rule.read(document, untyped=True))]


def in_entry(collection: Collection, entry: bytes) -> Iterator[tuple[str, str]]:
    """The identities that an entry may be itself."""
    text = keys.text(entry)
    for name in collection.entries:
        prefix = collection.identity[name].prefix
        if text.startswith(prefix) and text != prefix:
            yield name, text.removeprefix(prefix)


def key_document(collection: Collection, kind: str, parts: Sequence[Part]) -> documents.Document:
    """What a whole key says: a string as JSON, a hash by its fields; other types say nothing."""
    if kind == content.STRING and parts:
        return documents.of_json(parts[0][0])
    if kind != content.HASH:
        return {}
    firsts, fields = documents.first_names(collection.looked_at), {part[0]: part[1] for part in parts}
    return documents.of_hash(firsts, [fields.get(name.encode()) for name in firsts], collection.looked_at)


def entry_document(collection: Collection, kind: str, part: Part) -> documents.Document:
    """What an entry says: a stream's by its fields, others as JSON."""
    if kind == content.STREAM:
        return documents.of_entry(part[1:], collection.looked_at)
    return documents.of_json(part[1] if kind == content.HASH else part[0])
