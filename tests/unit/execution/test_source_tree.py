"""Writing the files of hostile commits: nothing outside the directory is ever touched."""

from contextlib import suppress
from pathlib import Path

import pytest
from dulwich.object_store import MemoryObjectStore
from dulwich.objects import Blob, ObjectID, ShaFile, Tree

from ansible_api.execution.git_request import BLOCK, Refused
from ansible_api.execution.git_tree import DEPTH, TreeWriter
from ansible_api.execution.tree_copy import copy_tree

MIB = 1024 * 1024
FILE, PROGRAM, LINK, DIRECTORY, SUBMODULE = 0o100644, 0o100755, 0o120000, 0o040000, 0o160000


class Commit:
    """Objects in memory, and how to write a tree of them."""

    def __init__(self, tmp_path: Path) -> None:
        self.store = MemoryObjectStore()
        self.target = tmp_path / "files"

    def blob(self, data: bytes = b"text") -> bytes:
        return self.add(Blob.from_string(data))

    def add(self, thing: ShaFile) -> bytes:
        self.store.add_object(thing)
        return thing.id

    def tree(self, *entries: tuple[bytes, int, bytes]) -> bytes:
        raw = b"".join(b"%o %s\0" % (mode, name) + bytes.fromhex(sha.decode()) for name, mode, sha in entries)
        return self.add(ShaFile.from_raw_string(Tree.type_num, raw))

    def write(self, tree: bytes, limit: int = MIB) -> TreeWriter:
        writer = TreeWriter(self.store, limit)
        writer.write(ObjectID(tree), str(self.target))
        return writer


@pytest.fixture
def commit(tmp_path: Path) -> Commit:
    return Commit(tmp_path)


def test_files_programs_links_and_directories_are_written_as_git_would(commit: Commit):
    inner = commit.tree((b"main.yml", FILE, commit.blob(b"[]")))
    commit.write(
        commit.tree(
            (b"link", LINK, commit.blob(b"tasks/main.yml")),
            (b"run", PROGRAM, commit.blob()),
            (b"tasks", DIRECTORY, inner),
            (b"vendor", SUBMODULE, b"1" * 40),
        )
    )
    assert (commit.target / "link").read_text() == "[]"
    assert (commit.target / "run").stat().st_mode & 0o111
    assert list((commit.target / "vendor").iterdir()) == []


@pytest.mark.parametrize(
    "name",
    [b"..", b".", b"", b".git", b".GIT", b".git ", b".git.", b"git~1", b".g\xe2\x80\x8cit", b".git::$INDEX_ALLOCATION"],
)
@pytest.mark.parametrize("mode", [FILE, LINK, DIRECTORY, SUBMODULE])
def test_names_that_lead_elsewhere_or_mean_git_itself_are_refused(commit: Commit, name: bytes, mode: int):
    target = commit.tree() if mode == DIRECTORY else commit.blob()
    with pytest.raises(Refused) as caught:
        commit.write(commit.tree((name, mode, target)))
    assert caught.value.code == "source_invalid"
    assert list(commit.target.iterdir()) == []


@pytest.mark.parametrize("name", [b"../escaped", b"/tmp/escaped", b"a/b"])
def test_a_name_with_a_slash_is_refused(commit: Commit, tmp_path: Path, name: bytes):
    with pytest.raises(Refused):
        commit.write(commit.tree((name, FILE, commit.blob())))
    assert [path.name for path in tmp_path.iterdir()] == ["files"]


@pytest.mark.parametrize("second", [FILE, DIRECTORY])
def test_nothing_is_written_through_a_symlink_of_the_same_name(commit: Commit, tmp_path: Path, second: int):
    (tmp_path / "outside").mkdir()
    inner = commit.tree((b"escaped", FILE, commit.blob()))
    link = (b"name", LINK, commit.blob(b"../outside"))
    with suppress(Refused):  # dulwich keeps one of the two, another reader of trees might give both
        commit.write(commit.tree(link, (b"name", second, inner if second == DIRECTORY else commit.blob())))
    assert list((tmp_path / "outside").iterdir()) == []


def test_names_that_differ_by_case_only_are_two_files(commit: Commit):
    commit.write(commit.tree((b"A", FILE, commit.blob(b"1")), (b"a", FILE, commit.blob(b"2"))))
    assert [(commit.target / name).read_text() for name in "Aa"] == ["1", "2"]


@pytest.mark.parametrize("target", [b"", b"a\0b", b"x" * 5000])
def test_a_symlink_that_cannot_be_is_refused(commit: Commit, target: bytes):
    with pytest.raises(Refused, match="symlink"):
        commit.write(commit.tree((b"link", LINK, commit.blob(target))))


@pytest.mark.parametrize("mode", [0o010644, 0o020644, 0o060644, 0o140644, 0])
def test_an_entry_that_is_no_file_link_or_directory_is_refused(commit: Commit, mode: int):
    with pytest.raises(Refused, match="unknown type"):
        commit.write(commit.tree((b"device", mode, commit.blob())))


def test_set_user_id_is_never_kept(commit: Commit):
    commit.write(commit.tree((b"su", 0o104755, commit.blob())))
    assert (commit.target / "su").stat().st_mode & 0o7000 == 0


def test_a_tree_deeper_than_any_project_is_refused(commit: Commit):
    tree = commit.tree()
    for _ in range(DEPTH + 2):
        tree = commit.tree((b"d", DIRECTORY, tree))
    with pytest.raises(Refused, match="too deeply"):
        commit.write(tree)


def test_a_tree_that_unfolds_to_endless_empty_files_ends_at_the_size_limit(commit: Commit):
    tree = commit.tree((b"f", FILE, commit.blob(b"")))
    for _ in range(20):
        tree = commit.tree(*((b"%d" % number, DIRECTORY, tree) for number in range(10)))
    with pytest.raises(Refused) as caught:
        commit.write(tree, limit=100 * BLOCK)
    assert caught.value.code == "source_too_large"
    assert len(list(commit.target.rglob("*"))) <= 100


def test_a_blob_in_the_place_of_a_directory_is_refused(commit: Commit):
    with pytest.raises(Refused, match="a directory that is none"):
        commit.write(commit.tree((b"d", DIRECTORY, commit.blob())))


def test_a_copy_counts_what_was_written_and_leaves_links_as_they_are(commit: Commit, tmp_path: Path):
    inner = commit.tree((b"main.yml", FILE, commit.blob(b"x" * 3 * MIB)))
    link, program = (b"out", LINK, commit.blob(b"/etc")), (b"run", PROGRAM, commit.blob())
    written = commit.write(commit.tree((b"d", DIRECTORY, inner), link, program), limit=8 * MIB)
    copied = copy_tree(commit.target, tmp_path / "copy", lambda: None)
    assert (copied.files, copied.size) == (written.files, written.size) == (3, 3 * MIB + 4 * BLOCK + len("/etctext"))
    assert (tmp_path / "copy" / "out").is_symlink()
    assert (tmp_path / "copy" / "run").stat().st_mode & 0o777 == 0o755
    assert not (tmp_path / "copy" / "run").samefile(commit.target / "run")


def test_a_copy_can_be_stopped(commit: Commit, tmp_path: Path):
    commit.write(commit.tree((b"f", FILE, commit.blob())))

    def stop() -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        copy_tree(commit.target, tmp_path / "copy", stop)
