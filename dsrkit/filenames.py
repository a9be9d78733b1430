"""Names of files that any system can unpack, made from names that anybody may have chosen.

What comes out has no separator, no control or format character, no leading dot, no trailing dot or space, is no device
name of Windows, is short, and is unique within its folder even where case and Unicode forms are not told apart.
"""

import re
import unicodedata

LONGEST = 80
"""Characters of a name."""
_LONGEST_BYTES = 200
_LONGEST_SUFFIX = 12
_DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE | re.DOTALL)
# What a browser or a desktop would run, or render with scripts, when its reader only wanted to look at it.
ACTIVE = frozenset(
    [
        ".app",
        ".appimage",
        ".bat",
        ".cmd",
        ".com",
        ".command",
        ".cpl",
        ".desktop",
        ".dll",
        ".exe",
        ".hta",
        ".htm",
        ".html",
        ".inf",
        ".jar",
        ".js",
        ".jse",
        ".lnk",
        ".mht",
        ".mhtml",
        ".mjs",
        ".msc",
        ".msi",
        ".msp",
        ".pif",
        ".ps1",
        ".ps1xml",
        ".psm1",
        ".py",
        ".reg",
        ".scf",
        ".scr",
        ".settingcontent-ms",
        ".sh",
        ".shtml",
        ".svg",
        ".svgz",
        ".swf",
        ".url",
        ".vb",
        ".vbe",
        ".vbs",
        ".webloc",
        ".workflow",
        ".ws",
        ".wsc",
        ".wsf",
        ".wsh",
        ".xht",
        ".xhtml",
        ".xml",
        ".xsl",
        ".xslt",
    ]
)


def safe(name: str) -> str:
    """One safe path segment. Letters, their marks and digits of any script stay; what is unsafe becomes `_`."""
    kept = "".join(c if _stays(c) else "_" for c in unicodedata.normalize("NFC", name))
    kept = unicodedata.normalize("NFC", kept).strip(".") or "_"
    if kept.startswith("_") or _DEVICE.fullmatch(kept):
        kept = "_" + kept.lstrip("_")
    stem, suffix = split(kept)
    stem = stem[: LONGEST - len(suffix)]
    while len((stem + suffix).encode()) > _LONGEST_BYTES:
        stem = stem[:-1]
    return stem + suffix


def _stays(character: str) -> bool:
    return character in "-_." or unicodedata.category(character)[0] in "LMN"


def split(name: str) -> tuple[str, str]:
    """Stem and suffix of a name; a long or odd suffix belongs to the stem."""
    stem, dot, suffix = name.rpartition(".")
    if dot and stem and 0 < len(suffix) < _LONGEST_SUFFIX:
        return stem, dot + suffix
    return name, ""


def passive(name: str) -> str:
    """The name with `.txt` behind it when a reader's computer might run the file."""
    return name + ".txt" if split(name)[1].lower() in ACTIVE else name


class Names:
    """Gives every file of a package a path of its own."""

    def __init__(self) -> None:
        self._used: set[str] = set()
        self._next: dict[str, int] = {}

    def unique(self, folder: str, name: str) -> str:
        """`folder/name`, with `-2`, `-3` … before the suffix when it is taken. `name` must be safe."""
        stem, suffix = split(name)
        path, key = f"{folder}/{name}", _fold(f"{folder}/{name}")
        first = key
        while key in self._used:
            number = self._next.get(first, 2)
            self._next[first] = number + 1
            path = f"{folder}/{stem}-{number}{suffix}"
            key = _fold(path)
        self._used.add(key)
        return path


def _fold(path: str) -> str:
    return unicodedata.normalize("NFKC", path.casefold())
