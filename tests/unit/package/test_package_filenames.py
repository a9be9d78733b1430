"""Names that any system can unpack."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsrkit.filenames import Names, passive, safe


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("letter.pdf", "letter.pdf"),
        ("2026-03 letter (final).pdf", "2026-03_letter__final_.pdf"),
        ("Äpfel.pdf", "Äpfel.pdf"),
        ("A\u0308pfel.pdf", "Äpfel.pdf"),
        ("письмо.txt", "письмо.txt"),
        ("हिन्दी.txt", "हिन्दी.txt"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("..", "_"),
        (".", "_"),
        ("", "_"),
        (".htaccess", "htaccess"),
        ("trailing. ", "trailing._"),
        ("a/b\\c:d", "a_b_c_d"),
        ("nul\0byte\r\n.txt", "nul_byte__.txt"),
        ("\u202egnp.exe", "_gnp.exe"),
        ("con", "_con"),
        ("COM1.txt", "_COM1.txt"),
        ("x" * 300 + ".jpeg", "x" * 75 + ".jpeg"),
        ("\ud800.txt", "_.txt"),
    ],
)
def test_safe(name: str, expected: str) -> None:
    assert safe(name) == expected


@given(st.text(st.characters(), max_size=200))
def test_every_name_becomes_one_short_path_segment(name: str) -> None:
    made = safe(name)
    assert made
    assert len(made) <= 80
    assert len(made.encode()) <= 200
    assert made == unicodedata.normalize("NFC", made)
    assert not made.startswith(".")
    assert not made.endswith((".", " "))
    assert not any(unicodedata.category(c)[0] in "CZSP" and c not in "-_." for c in made)
    assert safe(made) == made


@given(st.lists(st.text("aAäÄ.-2", max_size=4), max_size=30))
def test_unique_where_case_and_form_are_not_told_apart(names: list[str]) -> None:
    unique = Names()
    made = [unique.unique("f", safe(name)) for name in names]
    assert len({unicodedata.normalize("NFKD", path).casefold() for path in made}) == len(names)


def test_numbers_come_before_the_suffix() -> None:
    names = Names()
    assert [names.unique("f", "a.pdf") for _ in range(3)] == ["f/a.pdf", "f/a-2.pdf", "f/a-3.pdf"]
    assert names.unique("f", "A.PDF") == "f/A-4.PDF"
    assert names.unique("g", "a.pdf") == "g/a.pdf"


def test_many_files_of_one_name_stay_cheap() -> None:
    names = Names()
    assert len({names.unique("f", "a.pdf") for _ in range(50_000)}) == 50_000


@pytest.mark.parametrize("name", ["page.html", "picture.SVG", "run.exe", "a.b.js", "x.desktop"])
def test_what_a_computer_might_run_is_made_passive(name: str) -> None:
    assert passive(name) == name + ".txt"


@pytest.mark.parametrize("name", ["letter.pdf", "picture.png", "notes.txt", "mail.eml", "none"])
def test_what_a_computer_only_shows_keeps_its_name(name: str) -> None:
    assert passive(name) == name
