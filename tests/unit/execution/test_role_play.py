from pathlib import Path

import pytest
import yaml

from ansible_api.errors import JobError
from ansible_api.execution.role_play import role_directories, write_collection_play, write_role_play
from ansible_api.jobs.sources import CollectionRoleSource, RoleSource


def role(path: str, repo: str = "https://git.example/ansible-roles.git") -> RoleSource:
    return RoleSource.model_validate({"type": "role", "repo": repo, "path": path})


def make(project: Path, *files: str) -> Path:
    for file in files:
        (project / file).parent.mkdir(parents=True, exist_ok=True)
        (project / file).write_text("[]\n")
    return project


@pytest.mark.parametrize("main", ["main.yml", "main.yaml", "main.json", "main"])
@pytest.mark.parametrize("gather_facts", [True, False])
def test_the_play_is_for_all_hosts_and_finds_the_role_by_its_name(
    tmp_path: Path, main: str, gather_facts: bool
) -> None:
    make(tmp_path, f"roles/nginx/tasks/{main}")
    play = tmp_path / write_role_play(tmp_path, role("roles/nginx"), gather_facts)
    assert yaml.safe_load(play.read_text()) == [
        {"name": "nginx", "hosts": "all", "gather_facts": gather_facts, "roles": [{"role": "nginx"}]}
    ]
    assert (play.parent / "roles" / "nginx").resolve() == tmp_path / "roles" / "nginx"
    assert not (play.parent / "roles" / "nginx").readlink().is_absolute()


@pytest.mark.parametrize(
    ("path", "repo", "name"),
    [
        ("roles/web server/", "https://git.example/r.git", "web_server"),
        ("roles/{{ x }}", "https://git.example/r.git", "___x___"),
        (".", "https://git.example/ansible-role-web.git", "ansible-role-web"),
        ("./", "git@git.example:team/web.git", "web"),
        (".hidden", "https://git.example/r.git", "hidden"),
    ],
)
def test_the_name_is_one_that_ansible_takes_as_it_is(tmp_path: Path, path: str, repo: str, name: str) -> None:
    make(tmp_path, f"{path}/tasks/main.yml")
    play = tmp_path / write_role_play(tmp_path, role(path, repo), True)
    assert yaml.safe_load(play.read_text())[0]["roles"] == [{"role": name}]


def test_roles_beside_it_and_those_of_the_repository_can_be_depended_on(tmp_path: Path) -> None:
    make(tmp_path, "more/a/tasks/main.yml", "roles/b/tasks/main.yml")
    assert role_directories(tmp_path, role("more/a")) == (tmp_path / "more", tmp_path / "roles")
    assert role_directories(tmp_path, role("roles/b")) == (tmp_path / "roles",)
    assert role_directories(tmp_path, role(".")) == (tmp_path / "roles",)  # nothing outside the repository


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("absent", "role_not_found"),
        ("file", "role_not_found"),
        ("empty", "role_without_tasks"),
        ("dangling", "path_outside_repository"),
        ("linked", "path_outside_repository"),
    ],
)
def test_what_is_no_role_of_the_repository_is_refused(tmp_path: Path, path: str, code: str) -> None:
    project = make(tmp_path / "project", "file", "empty/meta/main.yml", "linked/meta/main.yml")
    make(tmp_path / "outside", "tasks/main.yml")
    (project / "dangling").symlink_to("/nowhere")
    (project / "linked" / "tasks").symlink_to("../../outside/tasks")
    with pytest.raises(JobError) as caught:
        write_role_play(project, role(path), True)
    assert caught.value.job_code == code
    assert str(tmp_path) not in caught.value.detail


def of_collection(name: str) -> CollectionRoleSource:
    return CollectionRoleSource.model_validate({"type": "collection_role", "collection": "acme.tools", "role": name})


def test_a_role_of_a_collection_is_played_under_its_full_name(tmp_path: Path) -> None:
    make(tmp_path / "c", "ansible_collections/acme/tools/roles/speak/tasks/main.yml")
    (tmp_path / "project").mkdir()
    play = (
        tmp_path / "project" / write_collection_play(tmp_path / "project", of_collection("speak"), tmp_path / "c", True)
    )
    (only,) = yaml.safe_load(play.read_text())
    assert (only["hosts"], only["roles"]) == ("all", [{"role": "acme.tools.speak"}])


def test_a_role_that_the_collection_lacks_is_told_with_those_it_has(tmp_path: Path) -> None:
    make(tmp_path, "ansible_collections/acme/tools/roles/speak/tasks/main.yml")
    with pytest.raises(JobError, match="no role shout; it has: speak"):
        write_collection_play(tmp_path, of_collection("shout"), tmp_path, True)
    with pytest.raises(JobError, match="it has: none"):
        write_collection_play(tmp_path, of_collection("shout"), tmp_path / "absent", True)
