"""A person's files are found, all of them, and nobody else's; nothing outside of the root is ever reached."""

import os
import socket
import stat
import tempfile
import unicodedata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.filesystem import tree
from dsrkit.errors import DsrError
from tests.integration.filesystem.folder import BOTH, LETTERS, NUMBER, SOURCE, Folder, person

NEAR = ("C-1", "C-10", "C-11", "c-1", "C-1 ", " C-1", "C-1.png", "C–1")


@pytest.fixture
def files(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path, BOTH)
    for name in NEAR:
        folder.put(f"avatars/{name}.png")
        folder.put(f"letters/{name}/a.txt")
    folder.put("letters/C-1/2024/deep/.hidden")
    folder.put("letters/C-1/line\nbreak")
    return folder


async def test_a_person_has_its_own_files_only(files: Folder) -> None:
    assert await files.counts(customer_number="C-1") == {"avatars": 1, "letters": 3}
    for name in NEAR[1:]:
        assert await files.counts(customer_number=name) == {"avatars": 1, "letters": 1}


STRANGE = ["*", "?-1", "[C]-1", "C-?", "{C-1,C-10}", ".", "..", "../avatars/C-1", "C-1/2024", "C-1/", "/C-1"]
STRANGE += ["C-1\0", "\0", "x", "C-1\\", "~", "$HOME", "é" * 400, "C-1.png/", "./C-1"]


@pytest.mark.parametrize("value", STRANGE)
async def test_a_value_matches_literally_or_not_at_all(files: Folder, value: str) -> None:
    assert await files.counts(customer_number=value) == {}


async def test_composed_and_decomposed_letters_are_different_names(tmp_path: Path) -> None:
    folder = Folder(tmp_path, LETTERS)
    composed, decomposed = unicodedata.normalize("NFC", "Zoë"), unicodedata.normalize("NFD", "Zoë")
    folder.put(f"letters/{composed}/a.txt")
    assert await folder.counts(customer_number=composed) == {"letters": 1}
    assert await folder.counts(customer_number=decomposed) == {}


def test_where_an_alias_leads_to_the_same_file_the_listing_decides(tmp_path: Path) -> None:
    """A file system that folds case finds `a` under `A`; a hard link looks the same from outside."""
    (tmp_path / "A").write_bytes(b"")
    os.link(tmp_path / "A", tmp_path / "a")
    with tree.root(tmp_path) as handle:
        found = tree.status(handle, "a")
        assert found is not None
        assert tree.is_literal(handle, "a", found)
        os.rename("a", "b", src_dir_fd=handle, dst_dir_fd=handle)
        assert not tree.is_literal(handle, "a", found)


async def test_other_types_are_ignored_and_every_value_of_a_type_counts(files: Folder) -> None:
    assert await files.counts(email="C-1") == {}
    subject = person(customer_number="C-1")
    subject.identities.add(type="customer_number", value="C-10")
    (located,) = await files.locate(subject)
    assert {c.collection: c.records for c in located.collections} == {"avatars": 2, "letters": 4}


async def test_case_fold_only_where_declared(tmp_path: Path) -> None:
    identity = {"email": {"match": "case_fold"}}
    folder = Folder(tmp_path, {"tickets": {"pattern": "tickets/{email}-*.txt", "identity": identity}})
    for name in ("Ann@example.com-1.txt", "ann@EXAMPLE.com-2.txt", "joann@example.com-3.txt", "ann@example.com.txt"):
        folder.put(f"tickets/{name}")
    assert await folder.counts(email="ANN@example.com") == {"tickets": 2}


async def test_a_value_that_could_be_read_in_two_ways_blocks_instead_of_guessing(tmp_path: Path) -> None:
    folder = Folder(tmp_path, {"invoices": {"pattern": "invoices/{customer_number}-*.pdf", "identity": NUMBER}})
    folder.put("invoices/7-1-x.pdf")
    folder.put("invoices/70-1.pdf")
    assert await folder.counts(customer_number="7") == {"invoices": 1}
    assert await folder.counts(customer_number="7-1") == {}
    assert await folder.findings(customer_number="7-1") == {("invoices", "IDENTITY_NOT_SEARCHABLE")}


async def test_other_names_in_a_path_are_told(tmp_path: Path) -> None:
    identity = {"customer_number": {"unique": True}, "mail": {"type": "email"}}
    folder = Folder(tmp_path, {"forms": {"pattern": "forms/{customer_number}_{mail}.pdf", "identity": identity}})
    folder.put("forms/7_ann@example.com.pdf")
    folder.put("forms/8_bob@example.com.pdf")
    (located,) = await folder.locate(person(customer_number="7"))
    assert [(f.identity.type, f.identity.value, f.unique) for f in located.identities] == [
        ("email", "ann@example.com", False)
    ]
    (located,) = await folder.locate(person(email="bob@example.com"))
    assert [(f.identity.type, f.identity.value, f.unique) for f in located.identities] == [
        ("customer_number", "8", True)
    ]


async def test_two_stars_before_the_identity_find_at_any_depth(tmp_path: Path) -> None:
    folder = Folder(tmp_path, {"scans": {"pattern": "scans/**/{customer_number}.pdf", "identity": NUMBER}})
    for path in ("scans/7.pdf", "scans/a/7.pdf", "scans/a/b/7.pdf", "scans/a/70.pdf"):
        folder.put(path)
    assert await folder.counts(customer_number="7") == {"scans": 3}
    described = await folder.backend.describe()
    assert [finding.code for finding in described.findings] == ["SCAN"]


async def test_a_file_belongs_to_the_collection_declared_first(tmp_path: Path) -> None:
    contracts = {"pattern": "letters/{customer_number}/contract-*", "identity": NUMBER}
    folder = Folder(tmp_path, {"contracts": contracts, **LETTERS})
    folder.put("letters/7/contract-1")
    folder.put("letters/7/hello")
    assert await folder.counts(customer_number="7") == {"contracts": 1, "letters": 1}


async def test_names_that_are_not_text_are_found_copied_and_removed(tmp_path: Path) -> None:
    folder = Folder(tmp_path, LETTERS)
    (folder.root / "letters" / "7").mkdir(parents=True)
    path = os.fsencode(folder.root / "letters" / "7") + b"/caf\xe9.txt"
    os.close(os.open(path, os.O_CREAT))
    subject = person(customer_number="7")
    anchors = await folder.anchors(subject)
    assert await folder.verify(subject, anchors=anchors) == {"letters": (0, 1)}
    assert [r["path"] for r in (await folder.export(subject))["letters"]] == ["letters/7/caf\\xe9.txt"]
    erased = await folder.erase(subject)
    assert erased.collections[0].deleted == 1
    assert folder.tree() == ["letters"]


class TestNothingOutside:
    @pytest.fixture
    def secret(self, tmp_path: Path) -> Path:
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / "secret.txt").write_text("secret")
        return outside

    async def test_a_link_in_place_of_a_file(self, tmp_path: Path, secret: Path) -> None:
        folder = Folder(tmp_path, BOTH)
        folder.put("letters/x/y")
        (folder.root / "avatars").mkdir()
        (folder.root / "avatars" / "7.png").symlink_to(secret / "secret.txt")
        assert await folder.counts(customer_number="7") == {}
        assert await folder.findings(customer_number="7") == {("avatars", "SYMBOLIC_LINK")}
        assert not (await folder.export(person(customer_number="7")))["avatars"]
        assert await folder.verify(person(customer_number="7")) == {"avatars": (0, 1)}
        erased = await folder.erase(person(customer_number="7"))
        assert [finding.code for finding in erased.findings] == ["SYMBOLIC_LINK"]
        assert (secret / "secret.txt").read_text() == "secret"

    async def test_a_link_in_place_of_a_persons_folder(self, tmp_path: Path, secret: Path) -> None:
        folder = Folder(tmp_path, LETTERS)
        (folder.root / "letters").mkdir()
        (folder.root / "letters" / "7").symlink_to(secret)
        assert await folder.counts(customer_number="7") == {}
        assert await folder.findings(customer_number="7") == {("letters", "SYMBOLIC_LINK")}

    async def test_a_link_within_a_persons_folder(self, tmp_path: Path, secret: Path) -> None:
        folder = Folder(tmp_path, LETTERS)
        folder.put("letters/7/a.txt")
        (folder.root / "letters" / "7" / "more").symlink_to(secret)
        (folder.root / "letters" / "7" / "loop").symlink_to(folder.root / "letters")
        (folder.root / "letters" / "7" / "dangling").symlink_to("nowhere")
        assert await folder.counts(customer_number="7") == {"letters": 1}
        assert await folder.findings(customer_number="7") == {("letters", "SYMBOLIC_LINK")}

    async def test_a_link_in_place_of_a_fixed_folder_is_not_an_empty_one(self, tmp_path: Path, secret: Path) -> None:
        folder = Folder(tmp_path, LETTERS)
        (folder.root / "letters").symlink_to(secret)
        with pytest.raises(DsrError) as raised:
            await folder.counts(customer_number="7")
        assert raised.value.reason == "SOURCE_UNAVAILABLE"
        described = await folder.backend.describe()
        assert [(finding.code, finding.blocks_erasure) for finding in described.findings] == [("NO_FOLDER", True)]

    async def test_an_anchor_leads_nowhere_else(self, tmp_path: Path, secret: Path) -> None:
        folder = Folder(tmp_path, LETTERS)
        folder.put("letters/7/a.txt")
        (folder.root / "link").symlink_to(secret)
        (anchors,) = await folder.anchors(person(customer_number="7"))
        for path in (
            "../outside/secret.txt",
            str(secret / "secret.txt"),
            "link/secret.txt",
            "letters/7/../../link",
            "\0",
        ):
            anchors.values[:] = [f'["{path}"]'.replace("\0", "\\u0000")]
            assert await folder.verify(person(customer_number="8"), anchors=[anchors]) == {}


async def test_pipes_and_sockets_are_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Folder(tmp_path, LETTERS)
    folder.put("letters/7/a.txt")
    os.mkfifo(folder.root / "letters" / "7" / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(folder.root)  # a socket's path is at most 108 bytes
        server.bind("letters/7/socket")
        assert await folder.counts(customer_number="7") == {"letters": 1}
        assert await folder.findings(customer_number="7") == {("letters", "SPECIAL_FILE")}
        assert len((await folder.export(person(customer_number="7")))["letters"]) == 1


async def test_a_second_name_of_the_content_is_noticed_unless_it_is_the_persons_too(tmp_path: Path) -> None:
    folder = Folder(tmp_path, BOTH)
    file = folder.put("letters/7/a.txt")
    (folder.root / "avatars").mkdir()
    os.link(file, folder.root / "avatars" / "7.png")
    assert await folder.findings(customer_number="7") == set()
    os.link(file, folder.root / "elsewhere")
    assert await folder.findings(customer_number="7") == {("letters", "HARD_LINK"), ("avatars", "HARD_LINK")}


async def test_undeclared_files_in_a_persons_folder_are_noticed(tmp_path: Path) -> None:
    folder = Folder(tmp_path, {"letters": {"pattern": "letters/{customer_number}/*.txt", "identity": NUMBER}})
    folder.put("letters/7/a.txt")
    assert await folder.findings(customer_number="7") == set()
    folder.put("letters/7/deep/b.doc")
    assert await folder.findings(customer_number="7") == {("letters", "UNDECLARED_FILE")}
    assert await folder.findings(customer_number="8") == set()


async def test_undeclared_entries_at_the_top_are_a_finding_without_their_names(tmp_path: Path) -> None:
    folder = Folder(tmp_path, LETTERS)
    folder.put("letters/7/a.txt")
    folder.put("ann.walsh@example.com/a.txt")
    (finding,) = (await folder.backend.describe()).findings
    assert finding.code == "UNDECLARED_COLLECTION"
    assert "ann" not in finding.detail


async def test_an_unmounted_root_is_not_an_empty_one(tmp_path: Path) -> None:
    folder = Folder(tmp_path, LETTERS)
    for state in ("empty", "missing"):
        if state == "missing":
            folder.root.rmdir()
        with pytest.raises(DsrError) as raised:
            await folder.counts(customer_number="7")
        assert raised.value.reason == "SOURCE_UNAVAILABLE"
    assert not (await folder.backend.probe()).reachable


async def test_folders_without_end_are_refused_not_followed(tmp_path: Path) -> None:
    folder = Folder(tmp_path, LETTERS)
    folder.put("letters/7/" + "d/" * (tree.MAX_DEPTH + 1) + "a.txt")
    with pytest.raises(DsrError) as raised:
        await folder.counts(customer_number="7")
    assert raised.value.metadata == {"source": SOURCE, "why": "DEPTH"}


async def test_a_direct_path_is_looked_up_and_its_folder_never_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Folder(tmp_path, BOTH)
    folder.put("avatars/7.png")
    folder.put("letters/7/a.txt")
    listed = []

    def listdir(handle: int) -> list[str]:
        listed.append(os.readlink(f"/proc/self/fd/{handle}"))
        return names(handle)

    names = tree.names
    monkeypatch.setattr(tree, "names", listdir)
    assert await folder.counts(customer_number="7") == {"avatars": 1, "letters": 1}
    assert set(listed) == {str(folder.root / "letters" / "7")}


async def test_a_thousand_people_are_found_by_one_listing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Folder(tmp_path, {"invoices": {"pattern": "invoices/{customer_number}-*.pdf", "identity": NUMBER}})
    for number in range(1_000):
        folder.put(f"invoices/{number}-1.pdf", b"")
    listings = []

    def listdir(handle: int) -> list[str]:
        listings.append(handle)
        return names(handle)

    names = tree.names
    monkeypatch.setattr(tree, "names", listdir)
    found = await folder.locate(*(person(f"s{number}", customer_number=str(number)) for number in range(1_000)))
    assert [located.collections[0].records for located in found] == [1] * 1_000
    assert len(listings) == 1


async def test_no_handle_stays_open(files: Folder) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        await files.counts(customer_number="C-1")
        await files.export(person(customer_number="C-1"))
    assert len(os.listdir("/proc/self/fd")) <= before


async def test_probe_says_what_is_permitted(files: Folder) -> None:
    probed = await files.backend.probe()
    assert probed.reachable
    assert probed.encrypted_in_transit
    assert {p.operation: p.allowed for p in probed.permissions} == {
        "avatars: read": True,
        "avatars: delete": True,
        "letters: read": True,
        "letters: delete": True,
        "journal: write": True,
    }
    assert stat.S_IMODE(files.state.stat().st_mode) == 0o700


PIECES = ["a", "A", "b", "*", "?", "[", "]", "{", ".", "..", "-", " ", "é", "e\u0301", "\\", "\n", "%", "'", "\u202e"]
NAMES = st.lists(st.sampled_from(PIECES), min_size=1, max_size=4).map("".join)


@settings(max_examples=75, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    names=st.sets(NAMES, max_size=8), asked=st.lists(NAMES | st.text(min_size=1, max_size=5), min_size=1, max_size=8)
)
async def test_whatever_is_asked_only_equal_names_are_found(tmp_path: Path, names: set[str], asked: list[str]) -> None:
    """Against an oracle of one line."""
    stored = {name for name in names if name not in (".", "..")}
    with tempfile.TemporaryDirectory(dir=tmp_path) as place:
        folder = Folder(Path(place), BOTH)
        (folder.root / "avatars").mkdir()
        (folder.root / "letters").mkdir()
        for name in stored:
            folder.put(f"avatars/{name}.png")
            folder.put(f"letters/{name}/x")
        found = await folder.locate(*(person(f"s{index}", customer_number=value) for index, value in enumerate(asked)))
        for value, located in zip(asked, found, strict=True):
            expected = {"avatars": 1, "letters": 1} if value in stored else {}
            assert {count.collection: count.records for count in located.collections} == expected
