import subprocess
from pathlib import Path

import pytest
from pydantic import SecretStr
from tests.servers.requirements import require

from ansible_api.credentials.secrets import GitLogin, Secrets
from ansible_api.execution.galaxy_git import _git_config, _host, _ssh_config, git_environment
from ansible_api.execution.mask import Mask
from ansible_api.execution.preparation import Assignment, ExecutionConfig, Preparation
from ansible_api.execution.sandbox import choose
from ansible_api.execution.workspace import workspace
from ansible_api.jobs.spec import JobSpec
from ansible_api.settings import Isolation

OURS = ("-F", "none", "-T", "-a", "-x", "-o", "BatchMode=yes", "-i", "/secrets/key")
OTHERS = ("-F", "none", "-T", "-a", "-x", "-o", "BatchMode=yes", "-o", "IdentityFile=none")


@pytest.mark.parametrize(
    ("repo", "host"),
    [
        ("https://git.example:8443/r.git", "git.example"),
        ("ssh://me@git.example:22/r.git", "git.example"),
        ("git@git.example:r.git", "git.example"),
        ("git@[::1]:r.git", "::1"),
        ("", ""),
    ],
)
def test_the_host_of_a_repository(repo: str, host: str) -> None:
    assert _host(repo) == host


@pytest.mark.parametrize(("asked", "key"), [("git.example", "/secrets/key"), ("other.example", "none")])
def test_ssh_offers_the_key_to_its_host_alone(tmp_path: Path, asked: str, key: str) -> None:
    config = tmp_path / "config"
    config.write_text(_ssh_config("git.example", OURS, OTHERS))
    config.chmod(0o600)
    done = subprocess.run([require("ssh"), "-G", "-F", str(config), asked], capture_output=True, text=True, check=True)
    said = [line for line in done.stdout.splitlines() if line.startswith("identityfile")]
    assert said == [f"identityfile {key}"]
    assert "batchmode yes" in done.stdout
    assert "tunnel.py" in done.stdout


@pytest.mark.parametrize("host", ["", "*", "a,b", "!a", "a b", 'a"'])
def test_a_host_that_could_mean_others_gets_no_key(host: str) -> None:
    assert "/secrets/key" not in _ssh_config(host, OURS, OTHERS)


@pytest.mark.parametrize(
    ("asked", "password"), [("https://git.example:8443", "secret"), ("https://git.example", ""), ("https://other", "")]
)
def test_git_gets_the_token_for_its_host_and_port_alone(tmp_path: Path, asked: str, password: str) -> None:
    login = GitLogin("robot", SecretStr("secret"))
    config = tmp_path / "config"
    config.write_text(_git_config("https://git.example:8443/r.git", login, tmp_path))
    environment = {"PATH": "/usr/bin:/bin", "GIT_CONFIG_GLOBAL": str(config), "GIT_TERMINAL_PROMPT": "0"}
    environment |= {"GIT_CONFIG_NOSYSTEM": "1", "GIT_ASKPASS": "true"}
    done = subprocess.run(
        [require("git"), "credential", "fill"],
        input=f"url={asked}\n\n",
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ("password=secret" in done.stdout.splitlines()) is (password == "secret")


@pytest.mark.parametrize("with_login", [True, False])
def test_the_login_is_there_only_where_the_requirements_name_git(tmp_path: Path, with_login: bool) -> None:
    source = {"type": "playbook", "repo": "https://git.example/r.git", "path": "site.yml"}
    spec = JobSpec.model_validate({"source": source, "inventory": {"type": "inline", "hosts": ["a"]}})
    secrets = Secrets({"/source/git_credential": GitLogin("robot", SecretStr("secret"))})
    config = ExecutionConfig(tmp_path / "work", tmp_path / "git", Isolation.NONE)
    private = tmp_path / "private"
    private.mkdir()
    with workspace(config.work_dir, "galaxy-git.1") as room:
        job = Preparation(Assignment("job", 1, spec, secrets), config, room, choose(Isolation.NONE), Mask([]), bool)
        with git_environment(job, tmp_path, private, with_login=with_login) as environment:
            assert ("credential" in Path(environment["GIT_CONFIG_GLOBAL"]).read_text()) is with_login
            assert any("secret" in path.read_text() for path in private.iterdir() if path.is_file()) is with_login
