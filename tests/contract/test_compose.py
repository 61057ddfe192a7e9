"""compose.yaml and the Dockerfile say what routing, settings and the locked requirements say."""

import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from pydantic import SecretStr

from ansible_api.credentials.cipher import Cipher
from ansible_api.routing import JOB_QUEUES, Queue
from ansible_api.settings import Isolation, Settings, known_names, load_settings
from ansible_api.tasks.end import REPORTING
from tests.servers.processes import ServerProcess, free_port
from tests.servers.requirements import require

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ONE_SHOTS = {"secrets", "migrate", "bucket"}
SECRET = re.compile(r"PASSWORD|SECRET|TOKEN|KEY\b|KEY_FILE|DATABASE_URL|REDIS_URL|BROKER_URL")


def settings_of(service: str) -> dict[str, str]:
    return dict(SERVICES[service].get("environment", {}))


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """What the service `secrets` makes, at its place a directory per volume."""
    for volume in SERVICES["secrets"]["volumes"][1:]:
        (tmp_path / volume.rpartition("/")[2]).mkdir()
    make_secrets(tmp_path)
    return tmp_path


def make_secrets(folder: Path) -> None:
    subprocess.run(["/bin/sh", ROOT / "scripts" / "compose-secrets", folder], check=True)


def test_every_queue_has_one_worker_service_of_its_name() -> None:
    commands = {name: SERVICES[name]["command"] for name in SERVICES if name.startswith("worker-")}
    served = {
        name: [command[at + 1] for at, word in enumerate(command) if word == "--queue"]
        for name, command in commands.items()
    }
    assert served == {f"worker-{queue}": [queue.value] for queue in Queue}


def test_every_setting_is_one_that_is_read() -> None:
    named = {name for service in SERVICES for name in settings_of(service) if name.startswith("ANSIBLE_API_")}
    assert named <= known_names()


def test_ports_are_published_on_this_machine_alone() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []
    assert len(ports) == 4


def test_images_are_pinned_and_ours_is_this_version() -> None:
    images = {service["image"] for service in SERVICES.values()}
    assert [image for image in images if not re.search(r":\d+\.\d+", image)] == []
    assert {image for image in images if image.startswith("ansible-api")} == {f"ansible-api:{PROJECT['version']}"}
    assert set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)) == {"python:3.11-slim"}


def test_secrets_are_files() -> None:
    for name in SERVICES:
        given = {variable for variable in settings_of(name) if SECRET.search(variable)}
        assert {variable for variable in given if not variable.endswith("_FILE")} <= {"ANSIBLE_API_S3_ACCESS_KEY_ID"}


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - {"secrets"}))
def test_every_secret_that_a_service_reads_is_made_in_its_volume(name: str, made: Path) -> None:
    read = set(re.findall(r"/run/secrets/([\w.-]+)", str(SERVICES[name])))
    [volume] = [entry for entry in SERVICES[name]["volumes"] if entry.startswith("secrets-")]
    folder = made / volume.partition(":")[0].removeprefix("secrets-")
    assert read
    assert read <= {file.name for file in folder.iterdir()}
    assert volume.endswith(":/run/secrets:ro")


def test_the_secrets_are_good_settings_and_one_password_each(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in settings_of("worker-default").items():
        monkeypatch.setenv(variable, value.replace("/run/secrets", str(made / "app")))
    settings = load_settings()
    Cipher.from_setting(settings.master_key)
    passwords = {name: (made / name / "password").read_text().strip() for name in ("mariadb", "redis")}
    assert f":{passwords['mariadb']}@mariadb/" in settings.database_url.get_secret_value()
    assert f":{passwords['redis']}@redis:" in settings.redis_url.get_secret_value()
    assert f"requirepass {passwords['redis']}\n" == (made / "redis" / "redis.conf").read_text()
    assert settings.s3_secret_access_key is not None
    assert settings.s3_secret_access_key.get_secret_value() in (made / "s3" / "s3.json").read_text()


def test_openbao_takes_its_root_token_from_the_file_and_tells_no_process_list(made: Path) -> None:
    """The command of compose.yaml with another port, outside of a container."""
    token, port, log = made / "openbao" / "token", free_port(), made / "log"
    (command,) = SERVICES["openbao"]["command"]
    for ours, other in {"$$": "$", "/run/secrets/token": str(token), "0.0.0.0:8200": f"127.0.0.1:{port}"}.items():
        assert ours in command
        command = command.replace(ours, other)
    env = {"PATH": f"{Path(require('bao')).parent}:{os.defpath}", "HOME": str(made)}
    argv = [*SERVICES["openbao"]["entrypoint"], command]
    with ServerProcess(argv, log, lambda: b"Development mode should NOT" in log.read_bytes(), env=env) as process:
        arguments = Path(f"/proc/{process.pid}/cmdline").read_text().split("\0")
        asked = httpx.get(
            f"http://127.0.0.1:{port}/v1/auth/token/lookup-self", headers={"X-Vault-Token": token.read_text().strip()}
        )
    assert arguments[1:3] == ["server", "-dev"]
    assert not [argument for argument in arguments if token.read_text().strip() in argument]
    assert asked.json()["data"]["policies"] == ["root"]


def test_secrets_are_made_once(made: Path) -> None:
    def contents() -> dict[Path, str]:
        return {path: path.read_text() for path in made.rglob("*") if path.is_file()}

    before = contents()
    (made / "redis" / "redis.conf").unlink()  # as if the first run had been cut off
    make_secrets(made)
    assert contents() == before


# Rotating keys, by the commands of the manual

MANUAL = (ROOT / "docs" / "operating.md").read_text()
NEW_MASTER_KEY, NEW_PASSWORDS, NEW_DATABASE_PASSWORD = re.findall(r"/bin/sh secrets -c '([^']+)'", MANUAL)


def rotate(made: Path, script: str) -> set[str]:
    """Runs it as the container of `secrets` does, and that service after it; names of the files that changed."""

    def contents() -> dict[str, str]:
        return {str(path.relative_to(made)): path.read_text() for path in made.rglob("*") if path.is_file()}

    before = contents()
    subprocess.run(["/bin/sh", "-c", script.replace("/secrets", str(made))], check=True)
    make_secrets(made)
    after = contents()
    assert after.keys() == before.keys()
    return {name for name in after if after[name] != before[name]}


def test_a_new_master_key_seals_and_the_old_one_still_opens(made: Path) -> None:
    file = made / "app" / "master-key"
    old = Cipher.from_setting(SecretStr(file.read_text())).seal(b"old", ("a",))
    for version in (2, 3):
        assert rotate(made, NEW_MASTER_KEY) == {"app/master-key"}
        cipher = Cipher.from_setting(SecretStr(file.read_text()))
        assert cipher.seal(b"new", ("a",)).key_version == version
    assert cipher.open(old, ("a",)) == b"old"


def test_new_passwords_come_to_all_that_read_them(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    redis = {"redis/password", "redis/redis.conf", "app/redis-url"}
    assert rotate(made, NEW_PASSWORDS) == redis | {"app/s3-secret-access-key", "s3/s3.json"}
    assert rotate(made, NEW_DATABASE_PASSWORD) == {"mariadb/password", "app/database-url"}
    test_the_secrets_are_good_settings_and_one_password_each(made, monkeypatch)


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_can_write_nothing_and_gain_nothing(name: str) -> None:
    service = SERVICES[name]
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert service["security_opt"] == ["no-new-privileges:true"]
    ours = service["image"].startswith("ansible-api")
    assert service.get("user", "10001" if ours else "root") not in ("root", "0:0") or name == "secrets"


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - ONE_SHOTS))
def test_what_lasts_says_whether_it_is_well(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"]
    assert SERVICES[name]["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", sorted(ONE_SHOTS))
def test_what_runs_once_is_waited_for(name: str) -> None:
    assert SERVICES[name]["restart"] == "no"
    waiting = [one["depends_on"].get(name) for one in SERVICES.values() if name in one.get("depends_on", {})]
    assert waiting
    assert {wait["condition"] for wait in waiting} == {"service_completed_successfully"}


def test_the_sandbox_is_for_all_that_play_and_nobody_else() -> None:
    sandboxed = yaml.safe_load((ROOT / "compose.sandbox.yaml").read_text())["services"]
    assert set(sandboxed) == {f"worker-{queue}" for queue in JOB_QUEUES}
    assert {one["environment"]["ANSIBLE_API_ISOLATION"] for one in sandboxed.values()} == {Isolation.BUBBLEWRAP}


def test_plays_cannot_reach_flower() -> None:
    networks = {name: set(service.get("networks", ["default"])) for name, service in SERVICES.items()}
    assert networks["flower"] == {"watching"}
    assert [name for name in networks if name.startswith("worker-") and "watching" in networks[name]] == []


def test_a_worker_has_the_time_that_it_takes_to_end() -> None:
    defaults = {name: Settings.model_fields[name].default for name in ("shutdown_grace", "cancel_grace")}
    for queue in Queue:
        grace = SERVICES[f"worker-{queue}"]["stop_grace_period"]
        assert int(grace.removesuffix("s")) > sum(defaults.values()) + REPORTING


def test_the_image_runs_as_a_number_that_is_not_root() -> None:
    assert re.findall(r"^USER (\S+)", DOCKERFILE, re.MULTILINE) == ["10001:10001"]


def test_the_image_has_what_the_lock_has_and_all_that_we_need() -> None:
    image, everything = (pins(name) for name in ("requirements-image.txt", "requirements.txt"))
    assert {name: image[name] for name in image.keys() & everything.keys()}.items() <= everything.items()
    needed = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["embedded"]]
    assert {canonicalize_name(Requirement(line).name) for line in needed} <= image.keys()
    assert "pytest" not in image


def pins(name: str) -> dict[str, str]:
    found = re.findall(r"^([\w.-]+)==(\S+)", (ROOT / name).read_text(), re.MULTILINE)
    return {canonicalize_name(package): version for package, version in found}
