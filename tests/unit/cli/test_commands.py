"""The command line as a whole: loading, usage, keys."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ansible_api.cli import COMMANDS, app
from ansible_api.cli.connection import api_key, api_url
from ansible_api.cli.exits import CommandError, Exit

HEAVY = {"fastapi", "sqlalchemy", "celery", "kombu", "redis", "ansible_runner", "dulwich", "aioboto3"}


@pytest.mark.parametrize("command", ["submit", "watch", "logs", "jobs", "cancel"])
def test_a_client_command_loads_none_of_the_services_libraries(command: str) -> None:
    code = f"import sys, ansible_api.cli.{command}; print(*{HEAVY!r}.intersection(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded.split() == []


def test_help_lists_every_command_and_exit_code() -> None:
    said = CliRunner().invoke(app, ["--help"]).output
    assert all(name in said for name in COMMANDS)
    assert all(code.meaning.split(",")[0] in said for code in Exit)


@pytest.mark.parametrize(
    "arguments", [["submit", "--no-such-option"], ["nothing"], ["submit"], ["watch"], ["submit", "--wait", "soon"]]
)
def test_wrong_usage_ends_with_1_because_2_means_a_failed_job(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == Exit.REFUSED
    assert "Traceback" not in result.output


def test_a_directory_has_no_bucket_to_make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"DATABASE_URL": "sqlite://", "REDIS_URL": "redis://h", "MASTER_KEY": "1:x", "OBJECTS_DIR": str(tmp_path)}
    for name, value in values.items():
        monkeypatch.setenv(f"ANSIBLE_API_{name}", value)
    result = CliRunner().invoke(app, ["bucket", "create"])
    assert result.exit_code == Exit.REFUSED
    assert "ANSIBLE_API_S3_BUCKET is not set" in result.output


def test_without_a_key_the_message_names_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANSIBLE_API_KEY", raising=False)
    result = CliRunner().invoke(app, ["jobs"])
    assert result.exit_code == Exit.REFUSED
    assert "set ANSIBLE_API_KEY or name a file with --key-file" in result.output


def test_a_key_file_comes_before_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANSIBLE_API_KEY", "from-environment")
    (tmp_path / "key").write_text("from-file\n")
    assert api_key(tmp_path / "key") == "from-file"
    assert api_key(None) == "from-environment"


@pytest.mark.parametrize("content", [b"two\nlines", b"", b"\xff\xfe", "schlüssel".encode()])
def test_a_file_that_holds_no_key_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(CommandError, match="key"):
        api_key(tmp_path / "key")


@pytest.mark.parametrize("url", ["ftp://host", "host:8000", "http://", "http://user:password@host", "http://a b"])
def test_a_wrong_address_is_refused(url: str) -> None:
    with pytest.raises(CommandError):
        api_url(url)


def test_a_wrong_job_id_never_becomes_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANSIBLE_API_KEY", "k")
    result = CliRunner().invoke(app, ["cancel", "../keys"])
    assert result.exit_code == Exit.REFUSED
    assert "is not a job id" in result.output
