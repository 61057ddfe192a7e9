import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from tests.integration.execution.plays import Trial, command_lines, repository, spec_of
from tests.servers.requirements import require

from ansible_api.credentials.secrets import Password, Secrets, SshKey
from ansible_api.errors import StartupError
from ansible_api.execution import sandbox
from ansible_api.execution.sandbox import Bubblewrap, NoSandbox, choose
from ansible_api.execution.workspace import MARKER
from ansible_api.jobs.state import Status, StopReason
from ansible_api.settings import Isolation

LOOK = """
- hosts: all
  gather_facts: false
  tasks:
    - name: look
      command: python3 look.py {{ paths | join(' ') }}
"""
ENVIRONMENT = """
- hosts: all
  gather_facts: false
  tasks:
    - name: controller
      debug:
        msg: "{{ lookup('pipe', 'env -0 | base64 -w0') | b64decode }}"
"""
LOOKER = """
import json, os, sys
def lists(path):
    try:
        return os.path.isdir(path) and bool(os.listdir(path)) or os.path.isfile(path) and bool(open(path, 'rb').read(1))
    except OSError:
        return False
commands = []
for name in os.listdir('/proc'):
    if name.isdigit():
        try: commands.append(open(f'/proc/{name}/cmdline').read().replace(chr(0), ' '))
        except OSError: pass
capabilities = [line.split()[1] for line in open('/proc/self/status') if line.startswith('CapEff')][0]
system = ('/usr/bin/env', '/etc/passwd', '/proc/sys/kernel/core_pattern')
print(json.dumps({'seen': [p for p in sys.argv[1:] if lists(p)], 'capabilities': capabilities, 'commands': commands,
    'writes': [p for p in system if os.access(p, os.W_OK)]}))
"""
WORKER_SECRET = "worker-only-value"
NAMES = {
    *("HOME", "LANG", "PATH", "PWD", "TMPDIR", "OLDPWD", "SHLVL", "_", "LC_CTYPE"),
    *("ANSIBLE_API_ARTIFACTS", "ANSIBLE_API_JOB", "ANSIBLE_CALLBACK_PLUGINS", "ANSIBLE_CONFIG"),
    *("ANSIBLE_RETRY_FILES_ENABLED", "ANSIBLE_STDOUT_CALLBACK", "AWX_ISOLATED_DATA_DIR"),
}
KEY = """-----BEGIN OPENSSH PRIVATE KEY-----
c29tZSBwcml2YXRlIGtleQ
bm90IGEgcmVhbCBvbmU
-----END OPENSSH PRIVATE KEY-----
"""


def look(trial: Trial, tmp_path: Path, paths: list[Path]) -> dict[str, Any]:
    repo = repository(tmp_path / "repo", {"site.yml": LOOK, "look.py": LOOKER})
    trial.run(spec_of(repo, extra_vars={"paths": [str(path) for path in paths]}))
    return dict(json.loads(trial.result("look")["stdout"]))


@pytest.mark.parametrize("isolation", [Isolation.BUBBLEWRAP], indirect=True)  # without it there is no such promise
def test_the_play_sees_nothing_of_its_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trial: Trial) -> None:
    monkeypatch.setenv("WORKER_TOKEN", WORKER_SECRET)
    hidden = [tmp_path / "worker.txt", trial.config.cache_dir / "repo.git", trial.config.work_dir / "job-other.1" / "x"]
    for file in hidden:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("secret of the worker")
    system = ["/etc/shadow", "/etc/sudoers", "/etc/ssh/ssh_host_ed25519_key", "/etc/ssl/private", "/var/log", "/home"]
    source = Path(__file__).parents[3] / "src"
    room = trial.config.work_dir / trial.marker
    paths = [*hidden, *map(Path, system), source, room / "control" / "passwd", Path(f"/proc/{os.getpid()}/environ")]
    found = look(trial, tmp_path, [*paths, room / "project", Path("/etc/hosts")])
    assert found["seen"] == [str(room / "project"), "/etc/hosts"]
    assert found["writes"] == []
    assert found["commands"][0].startswith(shutil.which("bwrap") or "?")  # process 1 is the sandbox's own
    assert not [command for command in found["commands"] if "-m pytest" in command or "guardian" in command]
    assert int(found["capabilities"], 16) & (1 << 21 | 1 << 27 | 1 << 19 | 1 << 13) == 0  # admin, mknod, ptrace, raw
    assert WORKER_SECRET not in trial.text


def test_the_environment_of_the_play_is_empty_but_for_our_names(
    trial: Trial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKER_TOKEN", WORKER_SECRET)
    monkeypatch.setenv("ANSIBLE_CALLBACK_PLUGINS", "/worker/plugins")
    monkeypatch.setenv("AWX_LIB_DIRECTORY", "/worker/plugins")
    repo = repository(tmp_path / "repo", {"site.yml": ENVIRONMENT})
    assert trial.run(spec_of(repo)).status is Status.SUCCESSFUL
    environment = dict(line.split("=", 1) for line in trial.result("controller")["msg"].split("\0") if line)
    assert set(environment) <= NAMES
    assert environment[MARKER] == trial.marker
    assert "/worker" not in trial.text
    assert WORKER_SECRET not in trial.text


def test_secrets_are_in_no_command_line_and_in_no_event(trial: Trial, tmp_path: Path) -> None:
    trial.secrets = Secrets(
        {
            "/credentials/ssh": SshKey(SecretStr(KEY), username="deploy"),
            "/credentials/become_password": Password(SecretStr("become-me-now")),
            "/credentials/vault_password": Password(SecretStr("vault-me-now")),
        }
    )
    play = """
- hosts: all
  gather_facts: false
  tasks:
    - name: leak
      shell: cat {{ secrets }}/*; base64 -w0 {{ secrets }}/become_password; stat -c %a {{ secrets }}/*; env
    - debug: {msg: "{{ lookup('file', secrets + '/ssh_key') }}"}
  vars:
    secrets: "{{ lookup('pipe', find) | dirname }}"
    find: "tr '\\\\0' '\\\\n' < /proc/$PPID/cmdline | grep ssh_key"
"""
    seen: list[str] = []

    def watch() -> StopReason | None:
        seen.extend(line for _, line in command_lines())
        return None

    trial.pulse = watch
    outcome = trial.run(spec_of(repository(tmp_path / "repo", {"site.yml": play}), extra_vars={"token": "extra-value"}))
    assert outcome.status is Status.SUCCESSFUL
    assert any("ansible-playbook" in line and "ssh_key" in line for line in seen)
    leaked = trial.result("leak")["stdout"]
    assert "********" in leaked
    assert leaked.count("600") >= 3
    for secret in (
        "become-me-now",
        "vault-me-now",
        "c29tZSBwcml2YXRlIGtleQ",
        "bm90IGEgcmVhbCBvbmU",
        "YmVjb21lLW1lLW5vdw",
    ):
        assert secret not in trial.text
        assert not any(secret in line for line in seen)
    assert not any("extra-value" in line for line in seen)


def test_asking_for_what_is_not_there_refuses_to_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    choose.cache_clear()
    try:
        with pytest.raises(StartupError, match="no bwrap on PATH"):
            choose(Isolation.BUBBLEWRAP)
        assert isinstance(choose(Isolation.AUTO), NoSandbox)
    finally:
        choose.cache_clear()


def test_auto_takes_bubblewrap_where_it_works() -> None:
    require("bwrap")
    chosen = choose(Isolation.AUTO)
    assert isinstance(chosen, Bubblewrap)
    assert "bubblewrap" in chosen.describe()


def test_the_sandbox_works_for_an_unprivileged_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    program = require("bwrap")
    if os.geteuid() != 0:
        pytest.skip("this worker is unprivileged itself: the other tests show it")
    nobody = 65534
    monkeypatch.setattr(os, "geteuid", lambda: nobody)
    monkeypatch.setattr(sandbox, "interpreter_paths", list)  # root's Python may lie where nobody may look
    look = "id -u; ls /proc/*/cmdline | wc -l; test -e /etc/shadow && echo seen; test -w /proc/sys/kernel/core_pattern"
    argv = [*Bubblewrap(program).base(), "--remount-ro", "/", "--", "/bin/sh", "-c", look]
    done = subprocess.run(argv, user=nobody, group=nobody, cwd="/", capture_output=True, text=True, check=False)
    uid, processes, *rest = done.stdout.split()
    assert (uid, done.returncode, rest) == (str(nobody), 1, [])
    assert int(processes) < 10
