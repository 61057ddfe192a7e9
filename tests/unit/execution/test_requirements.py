import json
from pathlib import Path
from typing import Any

import pytest

from ansible_api.errors import JobError
from ansible_api.execution.requirements import MOST, SIZE_LIMIT, Requirements, requested
from ansible_api.jobs.sources import CollectionRoleSource, PlaybookSource

SCHEMES = frozenset({"https", "ssh"})
COMMIT = "0123456789abcdef0123456789abcdef01234567"

# Lists of lists by aliases: written out, more than memory holds.
LEVELS = "".join(f"  - &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]\n" for level in range(1, 10))
BOMB = f"roles:\n- name: &a0 [x]\n  version:\n{LEVELS}"


def source(*collections: dict[str, str]) -> PlaybookSource:
    parts = {"type": "playbook", "repo": "https://git.example/r.git", "path": "site.yml"}
    return PlaybookSource.model_validate({**parts, "collections": list(collections)})


def read(project: Path, *collections: dict[str, str], **files: Any) -> Requirements:
    """Requirements of a project whose files are given as documents: root, collections, roles."""
    for name, document in files.items():
        path = project / ("requirements.yml" if name == "root" else f"{name}/requirements.yml")
        path.parent.mkdir(exist_ok=True)
        path.write_text(document if isinstance(document, str) else json.dumps(document))
    return requested(project, source(*collections), SCHEMES)


def refused(project: Path, **files: Any) -> str:
    with pytest.raises(JobError) as caught:
        read(project, **files)
    assert caught.value.job_code == "requirements_invalid"
    return caught.value.detail


class TestWhereTheyAreRead:
    def test_a_project_without_files_asks_for_nothing(self, tmp_path: Path) -> None:
        assert not read(tmp_path)

    def test_all_files_and_the_request_are_merged_and_doubles_count_once(self, tmp_path: Path) -> None:
        found = read(
            tmp_path,
            {"name": "a.b", "version": ">=1"},
            root={"collections": ["a.b", "c.d"], "roles": ["x.y"]},
            collections={"collections": ["c.d"]},
            roles=["x.y", {"src": "x.z", "version": "1.0"}],
        )
        assert [(entry["name"], entry.get("version")) for entry in found.collections] == [
            ("c.d", None),
            ("a.b", None),
            ("a.b", ">=1"),
        ]
        assert [entry["src"] for entry in found.roles] == ["x.y", "x.z"]

    def test_the_collection_of_a_role_is_asked_for_with_its_version(self, tmp_path: Path) -> None:
        parts = {"type": "collection_role", "collection": "a.b", "role": "r", "version": ">=6.0.0"}
        found = requested(tmp_path, CollectionRoleSource.model_validate(parts), SCHEMES)
        assert found.collections == ({"name": "a.b", "type": "galaxy", "version": ">=6.0.0"},)

    def test_the_files_of_one_sort_bring_nothing_of_the_other(self, tmp_path: Path) -> None:
        both = {"collections": ["a.b"], "roles": ["x.y"]}
        assert read(tmp_path, roles=both).collections == ()
        assert read(tmp_path, roles=[], collections=both).roles == ()

    def test_the_first_ending_counts(self, tmp_path: Path) -> None:
        (tmp_path / "requirements.yaml").write_text("- x.yaml\n")
        assert read(tmp_path).roles[0]["src"] == "x.yaml"
        assert read(tmp_path, root="- x.yml\n").roles[0]["src"] == "x.yml"

    def test_a_link_out_of_the_project_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "requirements.yml").symlink_to("/etc/hostname")
        with pytest.raises(JobError) as caught:
            read(tmp_path)
        assert caught.value.job_code == "path_outside_repository"

    @pytest.mark.parametrize(
        "text",
        [
            "collections: [",
            "just text",
            "collections: {a: b}",
            "other: []",
            "- [nested]",
            "collections: [1]",
            "[" * 5000,
            "#" * (SIZE_LIMIT + 1),
            BOMB,
            "!!python/object/apply:os.system [id]",
            "\x00",
        ],
    )
    def test_what_is_not_such_a_file_is_refused_and_named(self, tmp_path: Path, text: str) -> None:
        assert refused(tmp_path, root=text).startswith("requirements.yml: ")

    def test_a_directory_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "requirements.yml").mkdir()
        with pytest.raises(JobError, match="make it a file"):
            read(tmp_path)

    def test_too_many_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(JobError, match="more than"):
            read(tmp_path, root={"roles": [f"a.r{number}" for number in range(MOST + 1)]})


class TestCollections:
    @pytest.mark.parametrize(
        ("entry", "expected"),
        [
            ("a.b", {"name": "a.b", "type": "galaxy"}),
            ({"name": "a.b", "version": 1.5}, {"name": "a.b", "type": "galaxy", "version": "1.5"}),
            (
                {"name": "a.b", "source": "https://hub.example/"},
                {"name": "a.b", "type": "galaxy", "source": "https://hub.example/"},
            ),
            ("git+https://g.example/r.git", {"type": "git", "source": "https://g.example/r.git"}),
            (
                {"name": "https://g.example/r.git", "type": "git", "version": "main"},
                {"type": "git", "source": "https://g.example/r.git", "version": "main"},
            ),
            ({"name": "git@g.example:r.git", "type": "git"}, {"type": "git", "source": "git@g.example:r.git"}),
            (
                {"name": "a.b", "source": "git@g.example:r.git", "type": "git"},
                {"type": "git", "source": "git@g.example:r.git"},
            ),
            (
                "git+https://g.example/r.git#/sub/dir,v1",
                {"type": "git", "source": "https://g.example/r.git#/sub/dir", "version": "v1"},
            ),
            ("https://g.example/a-b-1.tar.gz", {"type": "url", "source": "https://g.example/a-b-1.tar.gz"}),
        ],
    )
    def test_each_form(self, tmp_path: Path, entry: Any, expected: dict[str, str]) -> None:
        assert read(tmp_path, root={"collections": [entry]}).collections == (expected,)

    @pytest.mark.parametrize(
        "entry",
        [
            "./mine",
            "/etc",
            "../up",
            "a.b.c",
            "-rf",
            {"name": "a.b", "version": "--upload-pack=x"},
            {"name": "a.b", "version": "1;id"},
            {"name": "a.b", "source": "/srv/galaxy"},
            {"name": "a.b", "source": "file:///srv"},
            {"name": "a.b", "type": "dir", "source": "."},
            {"name": "a.b", "type": "file"},
            {"name": "a.b", "signatures": ["https://x.example/s"]},
            {"name": "ext::sh -c id", "type": "git"},
            {"name": "file:///srv/r.git", "type": "git"},
            {"name": "http://g.example/r.git", "type": "git"},
            {"name": "git://g.example/r.git", "type": "git"},
            {"name": "/srv/r.git", "type": "git"},
            {"name": "https:///r.git", "type": "git"},
            "git+--upload-pack=x:y",
            {"source": "git+--upload-pack=x:y", "type": "git"},
            {"source": "ssh://-oProxyCommand=x/r", "type": "git"},
            "git+https://g.example/r.git,--orphan",
            "git+https://g.example/r.git#../../etc",
            {"name": "https://me:secret@g.example/r", "type": "git"},
            "https://me:secret@g.example/a-b-1.tar.gz",
            {"name": "https://[", "type": "git"},
            {"name": "a\nb.c"},
            {"name": {"x": "y"}},
            {"name": "x" * 2000},
            {},
            None,
        ],
    )
    def test_everything_else_is_refused(self, tmp_path: Path, entry: Any) -> None:
        refused(tmp_path, root={"collections": [entry]})

    def test_a_login_in_an_address_is_not_repeated(self, tmp_path: Path) -> None:
        for address in ("https://me:secret@g.example/r", "git+https://me:secret@g.example/r"):
            assert "secret" not in refused(tmp_path, root={"collections": [{"name": address, "type": "git"}]})
            assert "secret" not in refused(tmp_path, root={"collections": [address]})
            assert "secret" not in refused(tmp_path, root={"roles": [address]})


class TestRoles:
    @pytest.mark.parametrize(
        ("entry", "expected"),
        [
            ("a.b", {"name": "a.b", "src": "a.b"}),
            ("a.b,1.0,own", {"name": "own", "src": "a.b", "version": "1.0"}),
            ({"role": "a.b"}, {"name": "a.b", "src": "a.b"}),
            ({"name": "a.b", "version": "1.0"}, {"name": "a.b", "src": "a.b", "version": "1.0"}),
            (
                {"src": "https://g.example/r.git", "scm": "git"},
                {"name": "r", "src": "https://g.example/r.git", "scm": "git"},
            ),
            (
                "git+https://g.example/r.git,v1",
                {"name": "r", "src": "https://g.example/r.git", "scm": "git", "version": "v1"},
            ),
            ("https://github.com/x/y", {"name": "y", "src": "https://github.com/x/y", "scm": "git"}),
            ("https://g.example/r.tar.gz", {"name": "r", "src": "https://g.example/r.tar.gz"}),
        ],
    )
    def test_each_form(self, tmp_path: Path, entry: Any, expected: dict[str, str]) -> None:
        assert read(tmp_path, roles=[entry]).roles == (expected,)

    @pytest.mark.parametrize(
        "entry",
        [
            "../up",
            "/etc/roles/x",
            "plain",
            "a,b,c,d",
            {"include": "other.yml"},
            {"src": "a.b", "name": "../../up"},
            {"src": "a.b", "name": ".hidden"},
            {"src": "a.b", "name": "x/y"},
            {"src": "a.b", "name": "a..b"},
            {"src": "https://g.example/..git", "scm": "git"},
            {"src": "https://g.example/r", "scm": "hg"},
            {"src": "file:///srv/r.tar.gz"},
            {"src": "git@g.example:x/y.git"},
            {"src": "a.b", "version": "-x"},
            {"src": "git+git+--upload-pack=x:y"},
            {"src": "-x@g.example:y", "scm": "git", "name": "x"},
            {"src": "git+hg+https://g.example/r"},
            {"src": "ext::id", "scm": "git", "name": "x"},
            ["a.b"],
        ],
    )
    def test_everything_else_is_refused(self, tmp_path: Path, entry: Any) -> None:
        refused(tmp_path, roles=[entry])


class TestPinned:
    @pytest.mark.parametrize(
        ("collection", "pinned"),
        [
            ({"name": "a.b", "version": "1.2.3"}, True),
            ({"name": "a.b", "version": "==1.2.3-rc.1+x"}, True),
            ({"name": "a.b", "version": "1.2"}, False),
            ({"name": "a.b", "version": ">=1.2.3"}, False),
            ({"name": "a.b", "version": "1.2.3,!=1.2.4"}, False),
            ({"name": "a.b"}, False),
            ({"source": "https://g.example/r", "type": "git", "version": COMMIT}, True),
            ({"source": "https://g.example/r", "type": "git", "version": "1.2.3"}, False),
            ({"source": "https://g.example/r.tar.gz", "type": "url"}, False),
        ],
    )
    def test_collections(self, tmp_path: Path, collection: dict[str, str], pinned: bool) -> None:
        assert read(tmp_path, root={"collections": [collection]}).pinned is pinned

    @pytest.mark.parametrize(
        ("role", "pinned"),
        [
            ("a.b,1.0", True),
            ("a.b", False),
            (f"git+https://g.example/r,{COMMIT}", True),
            ("git+https://g.example/r,v1", False),
        ],
    )
    def test_roles(self, tmp_path: Path, role: str, pinned: bool) -> None:
        assert read(tmp_path, roles=[role]).pinned is pinned

    def test_whether_git_is_needed(self, tmp_path: Path) -> None:
        assert not read(tmp_path, root={"collections": ["a.b"]}).uses_git
        assert read(tmp_path, roles=["git+https://g.example/r"]).uses_git


def test_a_number_without_end_is_refused_and_not_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "requirements.yml").write_text("collections: [{name: a.b, version: 0x" + "f" * 20_000 + "}]")
    with pytest.raises(JobError, match="write short numbers") as caught:
        read(tmp_path)
    assert caught.value.job_code == "requirements_invalid"
