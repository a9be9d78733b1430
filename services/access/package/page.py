"""`index.html`: the copy and the information on it, for a person to read: one file, no scripts.

Nothing a source holds can become markup: every printed string passes `visible` and the template engine's escaping, and
a content security policy forbids scripts and styles but our own.
"""

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from dsrkit.jsonlines import Cut, Lines, Malformed, Number
from dsrkit.parts import Field, Report, inconsistent, read
from dsrkit.watermark import WATERMARK
from services.access.package import words
from services.access.package.facts import Collection, Source

SHOWN_RECORDS = 200
"""Records of a collection on the page; the JSON Lines hold them all."""
SHOWN_TEXT = 300
SHOWN_ITEMS = 20
SHOWN_DEPTH = 4
WIDE = 8
"""A record with more fields than this is shown as a card: a wide table can be neither printed nor read on a phone."""
_LINE_LIMIT, _STRING_LIMIT = 256 << 10, 2 << 10
_PIECE = 64 << 10

# Control characters, those that turn the direction of the text around them, and halves of surrogate pairs.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff\ufffe\uffff]"
)
_EMAIL = re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+")
_WEB = re.compile(r"https://[A-Za-z0-9.-]+(?:/[A-Za-z0-9._~/-]*)?")


def visible(text: str) -> str:
    """The text with every character that would hide or rearrange what is read replaced by its name."""
    text = text.replace("\r\n", "\n").replace("\u2028", "\n").replace("\u2029", "\n")
    return _UNSEEN.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", text)


@dataclass(frozen=True)
class Value:
    """A value as the page shows it."""

    kind: str
    """`none`, `text`, `time`, `list` or `map`."""
    text: str = ""
    note: str = ""
    """What was left off."""
    items: Sequence[tuple[str, "Value"]] = ()


def value(data: Any, type: str = "", depth: int = 0) -> Value:
    """How a parsed JSON value is shown. `type` is its Table Schema type."""
    match data:
        case None:
            return Value("none")
        case bool():
            return Value("text", "yes" if data else "no")
        case Cut():
            return Value("text", data.head[:SHOWN_TEXT] + "…", f"shortened; {words.size(data.size)} in all")
        case str() if len(data) > SHOWN_TEXT:
            return Value("text", data[:SHOWN_TEXT] + "…", f"shortened; {len(data):,} characters in all")
        case Number():
            return Value("text", data)
        case str():
            return _time(data, type) or Value("text", data)
        case _ if depth == SHOWN_DEPTH:
            return Value("text", "…", f"{_count(data)} more, nested deeper")
        case list():
            return Value("list", "", _more(data), [("", value(v, "", depth + 1)) for v in data[:SHOWN_ITEMS]])
        case dict():
            shown = islice(data.items(), SHOWN_ITEMS)
            return Value("map", "", _more(data), [(k[:SHOWN_TEXT], value(v, "", depth + 1)) for k, v in shown])
    raise TypeError(type)


def _time(text: str, type: str) -> Value | None:
    try:
        if type == "datetime":
            return Value("time", words.moment(datetime.fromisoformat(text)), text)
        if type == "date":
            return Value("time", words.day(date.fromisoformat(text)), text)
    except ValueError:
        pass  # `infinity`, a year before Christ: shown as the source writes it
    return None


def _more(items: Sequence[Any] | Mapping[str, Any]) -> str:
    return f"and {len(items) - SHOWN_ITEMS:,} more" if len(items) > SHOWN_ITEMS else ""


def _count(items: Sequence[Any] | Mapping[str, Any]) -> str:
    return f"{len(items):,} value" + ("s" if len(items) != 1 else "")


def records(collection: Collection) -> Iterator[Sequence[Value] | None]:
    """The first records of a collection, one value per field; None for a record that is too long to show."""
    part = collection.part
    if part is None:
        return
    with closing(read(part)) as chunks:
        lines = Lines(chunks, line_limit=_LINE_LIMIT, string_limit=_STRING_LIMIT)
        try:
            for line in islice(lines, SHOWN_RECORDS):
                record = lines.parse(line)
                yield None if record is None else [value(record.get(f.name), f.type) for f in part.fields]
        except Malformed as error:
            raise inconsistent(part, str(error)) from None


def label(name: str) -> str:
    """A field's name, nearer to how people write."""
    spaced = " ".join(re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).replace("_", " ").split())
    return spaced[:1].upper() + spaced[1:] if spaced else name


def link(path: str) -> str:
    """The address of a file of the bag, from the page."""
    return quote(path)


def contact(text: str) -> Markup | str:
    """A contact, with a link if it is nothing but an e-mail or web address."""
    if _EMAIL.fullmatch(text):
        return Markup('<a href="mailto:{0}">{0}</a>').format(text)
    if _WEB.fullmatch(text):
        return Markup('<a href="{0}">{0}</a>').format(text)
    return text


def columns(collection: Collection) -> Sequence[Field]:
    """The fields of a collection's records."""
    return collection.part.fields if collection.part else ()


def render(report: Report, sources: Sequence[Source]) -> Iterator[bytes]:
    """The page's bytes. Reads the head of every part while it is rendered."""
    folder = Path(__file__).parent / "templates"
    style = (folder / "style.css").read_text()
    zone = ZoneInfo(report.partner.time_zone)
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda printed: visible(printed) if type(printed) is str else printed,
    )
    environment.filters |= {
        "label": label,
        "link": link,
        "contact": contact,
        "moment": lambda time: words.moment(time.astimezone(zone)),
        "day": lambda time: words.day(time.astimezone(zone)),
        "size": words.size,
        "country": words.country,
        "number": "{:,}".format,
        "value": value,
    }
    found = [c for source in sources for c in source.collections if c.part]
    pieces = environment.get_template("index.html").generate(
        report=report,
        sources=sources,
        found=found,
        titles={
            (source.report.instructions.data_source.name, c.map.collection): c.map.title
            for source in sources
            for c in source.collections
        },
        names={source.report.instructions.data_source.name: source for source in sources},
        total=sum(collection.records for collection in found),
        style=Markup(style),  # noqa: S704  # our own file
        style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
        words=words,
        utc=UTC,
        watermark=WATERMARK,
        records=records,
        columns=columns,
        shown_records=SHOWN_RECORDS,
        wide=WIDE,
    )
    held, size = [], 0
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size >= _PIECE:
            yield "".join(held).encode()
            held, size = [], 0
    yield "".join(held).encode()
