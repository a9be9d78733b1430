"""A strict reader of HTML for tests: elements must nest and close."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "br", "link", "img", "input", "hr"}


@dataclass
class Element:
    """An element, with its text and children."""

    tag: str
    attributes: dict[str, str | None]
    parent: "Element | None" = None
    children: list["Element"] = field(default_factory=list)
    texts: list["str | Element"] = field(default_factory=list)

    def all(self, *tags: str) -> list["Element"]:
        """Every element of these tags below this one, in the document's order."""
        found = []
        for child in self.children:
            found += [child] if child.tag in tags or not tags else []
            found += child.all(*tags)
        return found

    def get(self, name: str) -> str:
        """An attribute; empty when absent."""
        return self.attributes.get(name) or ""

    @property
    def text(self) -> str:
        """All text within, as it stands."""
        return "".join(part if isinstance(part, str) else part.text for part in self.texts)

    @property
    def words(self) -> str:
        """All text within, spaces collapsed."""
        return " ".join(self.text.split())


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("", {})
        self.open = self.root

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(attrs) == len(dict(attrs)), f"an attribute twice on {tag}"
        element = Element(tag, dict(attrs), self.open)
        self.open.children.append(element)
        self.open.texts.append(element)
        if tag not in VOID:
            self.open = element

    def handle_endtag(self, tag: str) -> None:
        assert self.open.tag == tag, f"</{tag}> closes <{self.open.tag}>"
        assert self.open.parent is not None
        self.open = self.open.parent

    def handle_data(self, data: str) -> None:
        self.open.texts.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError("a comment")


def parse(data: bytes) -> Element:
    """The document. Fails when elements don't nest."""
    reader = _Reader()
    reader.feed(data.decode())
    reader.close()
    assert reader.open is reader.root
    return reader.root
