"""Settings from the environment."""

from pathlib import Path

import pytest

from ansible_api.errors import StartupError
from ansible_api.settings import load_settings

NEEDED = {
    "ANSIBLE_API_DATABASE_URL": "sqlite:////x.db",
    "ANSIBLE_API_REDIS_URL": "redis://localhost",
    "ANSIBLE_API_MASTER_KEY": "1:canary-master-key",
    "ANSIBLE_API_OBJECTS_DIR": "/objects",
}


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in NEEDED.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_every_setting_has_a_variable_of_its_name(environ: pytest.MonkeyPatch) -> None:
    environ.setenv("ANSIBLE_API_MAX_ATTEMPTS", "7")
    assert load_settings().max_attempts == 7


def test_an_unknown_name_is_refused(environ: pytest.MonkeyPatch) -> None:
    environ.setenv("ANSIBLE_API_MAX_ATEMPTS", "7")
    with pytest.raises(StartupError, match="unknown settings: ANSIBLE_API_MAX_ATEMPTS"):
        load_settings()


def test_the_clients_variables_are_no_unknown_settings(environ: pytest.MonkeyPatch) -> None:
    environ.setenv("ANSIBLE_API_URL", "http://x")
    environ.setenv("ANSIBLE_API_KEY", "aak_x")
    load_settings()


def test_a_missing_setting_is_named(environ: pytest.MonkeyPatch) -> None:
    environ.delenv("ANSIBLE_API_REDIS_URL")
    with pytest.raises(StartupError, match="ANSIBLE_API_REDIS_URL: Field required"):
        load_settings()


def test_a_wrong_value_is_named_without_being_shown(environ: pytest.MonkeyPatch) -> None:
    environ.setenv("ANSIBLE_API_MAX_ATTEMPTS", "canary")
    with pytest.raises(StartupError, match="ANSIBLE_API_MAX_ATTEMPTS") as caught:
        load_settings()
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("url", ["ampq://user:canary@rabbit", "rabbit:5672", "unix:///canary.sock", ""])
def test_a_broker_of_another_kind_is_refused_without_its_password(environ: pytest.MonkeyPatch, url: str) -> None:
    environ.setenv("ANSIBLE_API_BROKER_URL", url)
    with pytest.raises(StartupError, match="ANSIBLE_API_BROKER_URL: begin with one of amqp://, amqps://") as caught:
        load_settings()
    assert "canary" not in str(caught.value)


def test_a_secret_may_come_from_a_file(environ: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("2:from-file\n")
    environ.delenv("ANSIBLE_API_MASTER_KEY")
    environ.setenv("ANSIBLE_API_MASTER_KEY_FILE", str(tmp_path / "key"))
    assert load_settings().master_key.get_secret_value() == "2:from-file"


def test_a_secret_given_twice_is_refused(environ: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environ.setenv("ANSIBLE_API_MASTER_KEY_FILE", str(tmp_path / "key"))
    with pytest.raises(StartupError, match="not both"):
        load_settings()


def test_a_secret_file_that_is_not_there_is_named(environ: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environ.delenv("ANSIBLE_API_MASTER_KEY")
    environ.setenv("ANSIBLE_API_MASTER_KEY_FILE", str(tmp_path / "nothing"))
    with pytest.raises(StartupError, match="cannot read"):
        load_settings()


def test_settings_print_no_secret(environ: pytest.MonkeyPatch) -> None:
    assert "canary" not in repr(load_settings())


def test_exactly_one_object_store_is_configured(environ: pytest.MonkeyPatch) -> None:
    environ.setenv("ANSIBLE_API_S3_BUCKET", "logs")
    with pytest.raises(StartupError, match="exactly one"):
        load_settings()
