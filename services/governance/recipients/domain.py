"""The register of sub-processors, and which recipient has to be told what. Pure."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from importlib import resources

import yaml
from dsr.v1 import governance_pb2

_SUB_PROCESSORS = governance_pb2.DataSource.CUSTODY_SUB_PROCESSOR
_OTHERS = frozenset({_SUB_PROCESSORS, governance_pb2.DataSource.CUSTODY_PARTNER})


@dataclass(frozen=True)
class SubProcessor:
    """An entry of the register."""

    id: str
    name: str
    purpose: str
    address: str
    country: str
    data: Sequence[str]
    rights: Mapping[str, str]
    how: str
    announced: date
    effective: date
    until: date | None = None
    aliases: Sequence[str] = field(default_factory=tuple)
    confirmed: date | None = None
    """When somebody of the operator compared purpose, address and dates with the contract; None: nobody has."""
    confirmed_by: str = ""

    def __post_init__(self) -> None:
        """A confirmation is somebody's."""
        if (self.confirmed is None) != (not self.confirmed_by):
            raise ValueError(f"{self.id}: `confirmed` and `confirmed_by` stand together or not at all")

    def named(self, text: str) -> bool:
        """Whether a recipient of a data map, or the provider of a data source, is this one.

        Names stand at the beginning, as whole words: `Stripe Payments Europe Ltd` is Stripe, `Stripes` isn't.
        """
        return any(_begins(text, name) for name in (self.name, *self.aliases))


def _begins(text: str, name: str) -> bool:
    return re.match(rf"{re.escape(name)}(?!\w)", text.strip(), re.IGNORECASE) is not None


def load() -> tuple[SubProcessor, ...]:
    """The register, from the file beside this module."""
    data = yaml.safe_load(resources.files(__package__).joinpath("register.yaml").read_text())
    return tuple(SubProcessor(**entry) for entry in data["sub_processors"])


REGISTER = load()


def find(text: str, register: Sequence[SubProcessor] = REGISTER) -> SubProcessor | None:
    """The sub-processor that a text names."""
    return next((entry for entry in register if entry.named(text)), None)


def state(entry: SubProcessor, objected: bool, day: date) -> str:
    """Where a sub-processor stands for one partner on a day."""
    if entry.until is not None and day >= entry.until:
        return "ENDED"
    if objected:
        return "OBJECTED"
    return "IN_USE" if day >= entry.effective else "ANNOUNCED"


@dataclass(frozen=True)
class Owed:
    """What one recipient has to be told of."""

    recipient: str
    sub_processor: str
    """Its id in the register; empty for a recipient of the partner's own."""
    collections: Sequence[str]
    """`source/collection`, the source by its id."""
    source: str
    """The data source whose connector does it; empty: somebody does it by hand."""
    how: str


def owed(
    data_map: governance_pb2.DataMap,
    touched: Mapping[str, Collection[str]],
    sources: Sequence[governance_pb2.DataSource],
    asked: Collection[str],
    register: Sequence[SubProcessor] = REGISTER,
) -> list[Owed]:
    """Who has to be told: the recipients that the data map names for collections in which data was touched.

    Nobody else is: who never got data of the person must not hear of it now. `asked`: the sources that the request
    itself reached; a recipient whose own source is among them was told by its connector.
    """
    linked: dict[str, tuple[str, SubProcessor | None, list[str]]] = {}
    for mapped in data_map.sources:
        for collection in mapped.collections:
            if collection.collection not in touched.get(mapped.source, ()):
                continue
            where = f"{mapped.source.rsplit('/', 1)[-1]}/{collection.collection}"
            for text in collection.recipients:
                known = find(text, register)
                key = known.id if known else " ".join(text.split()).casefold()
                linked.setdefault(key, (text, known, []))[2].append(where)
    found = []
    for text, known, collections in linked.values():
        own = [source.name for source in sources if _keeps(source, text, known)]
        left = [name for name in own if name not in asked]
        found.append(
            Owed(
                recipient=known.name if known else text,
                sub_processor=known.id if known else "",
                collections=collections,
                source=own[0] if own and not left else "",
                how=_how(known, left or own),
            )
        )
    return sorted(found, key=lambda entry: entry.recipient)


def _keeps(source: governance_pb2.DataSource, text: str, known: SubProcessor | None) -> bool:
    """Whether it is the recipient's source. An account of the partner's own at a sub-processor isn't the operator's."""
    if known:
        return source.custody == _SUB_PROCESSORS and known.named(source.location.provider)
    return source.custody in _OTHERS and _begins(text, source.location.provider)


def _how(known: SubProcessor | None, sources: Sequence[str]) -> str:
    if sources:
        return f"It has a connector: make a request that includes {', '.join(sources)}."
    return known.how if known else "Tell the recipient what was rectified, restricted or erased (Art. 19)."
