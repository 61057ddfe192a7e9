import configparser
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_api.errors import JobError
from ansible_api.execution.ansible_cfg import Defaults, callback_plugins, merge, write_config


def defaults(*credentials: str) -> Defaults:
    return Defaults(
        forks=5,
        local_tmp=Path("/private/tmp"),
        control_dir=Path("/private/cp"),
        ssh_options="-o StrictHostKeyChecking=yes",
        credentials=frozenset(credentials),
        inventory_plugins="yaml",
    )


def merged(text: str, *credentials: str) -> dict[str, dict[str, str]]:
    parser = merge(text, defaults(*credentials))
    return {section: dict(parser.items(section)) for section in parser.sections()}


def test_without_a_file_our_defaults_hold() -> None:
    values = merged("")
    assert values["defaults"] == {
        "host_key_checking": "True",
        "nocows": "True",
        "forks": "5",
        "local_tmp": "/private/tmp",
    }
    assert values["ssh_connection"]["control_path_dir"] == "/private/cp"
    assert values["ssh_connection"]["ssh_extra_args"] == "-o StrictHostKeyChecking=yes"


def test_the_projects_settings_beat_our_defaults() -> None:
    text = (
        "[defaults]\nforks = 50\nhost_key_checking = False\nroles_path = ./r\n[privilege_escalation]\nbecome = True\n"
    )
    values = merged(text)
    assert values["defaults"]["forks"] == "50"
    assert values["defaults"]["host_key_checking"] == "False"
    assert values["defaults"]["roles_path"] == "./r"
    assert values["privilege_escalation"] == {"become": "True"}


@pytest.mark.parametrize("section", ["defaults", "DEFAULT"])
@pytest.mark.parametrize("name", ["log_path", "retry_files_save_path", "stdout_callback"])
def test_where_logs_and_events_go_is_not_the_projects_to_say(section: str, name: str) -> None:
    assert name not in merged(f"[{section}]\n{name} = /elsewhere\n").get("defaults", {})


def test_our_private_directories_stay_ours() -> None:
    values = merged("[defaults]\nlocal_tmp=/x\n[ssh_connection]\ncontrol_path_dir=/x\ncontrol_path=/x/y\n")
    assert values["defaults"]["local_tmp"] == "/private/tmp"
    assert values["ssh_connection"]["control_path_dir"] == "/private/cp"
    assert "control_path" not in values["ssh_connection"]


CREDENTIALS = {
    "vault_password": "vault_password_file",
    "ssh": "private_key_file",
    "become_password": "become_password_file",
}


@pytest.mark.parametrize(("credential", "name"), CREDENTIALS.items())
def test_a_file_for_a_secret_gives_way_to_the_jobs_credential_only(credential: str, name: str) -> None:
    text = f"[defaults]\n{name} = mine\n"
    assert merged(text)["defaults"][name] == "mine"
    assert name not in merged(text, credential)["defaults"]


def test_our_ssh_options_come_after_the_projects() -> None:
    values = merged("[ssh_connection]\nssh_extra_args = -o Port=22\nssh_args = -C\n")["ssh_connection"]
    assert values["ssh_extra_args"] == "-o Port=22 -o StrictHostKeyChecking=yes"
    assert values["ssh_args"] == "-C"


def test_percent_signs_and_comments_are_read_as_ansible_reads_them() -> None:
    values = merged("[defaults]\nansible_managed = at %Y %(x)s ; a comment\n# another\n")
    assert values["defaults"]["ansible_managed"] == "at %Y %(x)s"


@pytest.mark.parametrize("text", ["forks = 1\n", "[defaults]\nnothing\n", "[a]\n[a]\n"])
def test_what_is_no_configuration_is_refused(text: str) -> None:
    with pytest.raises(JobError) as caught:
        merged(text)
    assert caught.value.job_code == "ansible_cfg_invalid"


def test_the_result_stands_beside_the_original_and_can_be_read_again(tmp_path: Path) -> None:
    (tmp_path / "ansible.cfg").write_text("[defaults]\ncallback_plugins = a:b\nhelp = one\n  two\n")
    path = write_config(tmp_path, defaults())
    assert path.parent == tmp_path
    assert callback_plugins(path) == "a:b"
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(path)
    assert parser["defaults"]["help"] == "one\ntwo"


@pytest.mark.parametrize("content", [b"\xff\xfe", b"#" * 300_000])
def test_unreadable_and_oversized_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "ansible.cfg").write_bytes(content)
    with pytest.raises(JobError) as caught:
        write_config(tmp_path, defaults())
    assert caught.value.job_code == "ansible_cfg_invalid"


def test_a_directory_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ansible.cfg").mkdir()
    with pytest.raises(JobError):
        write_config(tmp_path, defaults())


@pytest.mark.parametrize(
    ("text", "collections", "roles"),
    [
        (
            "",
            "/kept/c:~/.ansible/collections:/usr/share/ansible/collections",
            "/kept/r:/p/roles:~/.ansible/roles:/usr/share/ansible/roles:/etc/ansible/roles",
        ),
        ("[defaults]\ncollections_path = mine\nroles_path = ./r:../s\n", "/kept/c:mine", "/kept/r:/p/roles:./r:../s"),
    ],
)
def test_what_is_lent_comes_before_what_the_project_or_ansible_says(text: str, collections: str, roles: str) -> None:
    lent = replace(defaults(), collections=(Path("/kept/c"),), roles=(Path("/kept/r"), Path("/p/roles")))
    parser = merge(text, lent)
    assert parser.get("defaults", "collections_path") == collections
    assert parser.get("defaults", "roles_path") == roles
