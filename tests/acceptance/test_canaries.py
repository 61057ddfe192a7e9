"""The search for secrets finds one wherever it is planted; else its silence would mean nothing."""

import base64
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import boto3
import pytest
from redis import Redis

from ansible_api.db import Database
from ansible_api.execution.workspace import MARKER
from ansible_api.keys import store as keys
from ansible_api.keys.model import Role
from ansible_api.redis import BROKER_DB, EVENT_DB, RESULT_DB, with_db
from tests.acceptance.canaries import Canaries, Finding, ProcessWatch
from tests.migrated import migrate
from tests.servers.redis import RedisServer
from tests.servers.s3 import S3Bucket
from tests.waiting import wait_for

SECRET = "canary-6b1f0c-planted"
LONG = bytes(range(100, 132))
CANARIES = Canaries({"planted": SECRET, "long": LONG})


def names(findings: Iterable[Finding]) -> set[str]:
    return {name for name, _ in findings}


@pytest.mark.parametrize("before", ["", "u", "us", "user:"])
@pytest.mark.parametrize("altchars", [b"+/", b"-_"])
def test_a_canary_is_found_in_base64_wherever_it_begins(before: str, altchars: bytes) -> None:
    coded = base64.b64encode(f"{before}{SECRET} and more".encode(), altchars)
    assert names(CANARIES.find(coded, "")) == {"planted"}


@pytest.mark.parametrize("width", [64, 70, 76])
def test_a_long_canary_is_found_in_base64_that_is_broken_into_lines(width: int) -> None:
    for before in range(width):
        coded = base64.b64encode(bytes(before) + LONG + b" end").decode()
        broken = "\n".join(coded[start : start + width] for start in range(0, len(coded), width))
        assert names(CANARIES.find(broken, "")) == {"long"}, before


def test_nothing_is_found_where_nothing_is() -> None:
    assert not list(CANARIES.find(b"canary", ""))


def test_a_canary_is_found_in_contents_and_names_of_files(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "file").write_text(f"x{SECRET}x")
    assert names(CANARIES.in_files(tmp_path)) == {"planted"}
    assert not list(CANARIES.in_files(tmp_path, but=[tmp_path / "below" / "file"]))
    (tmp_path / "below" / "file").rename(tmp_path / "below" / SECRET)
    (tmp_path / "below" / SECRET).write_text("")
    assert names(CANARIES.in_files(tmp_path)) == {"planted"}


def test_a_canary_is_found_in_a_row(database_url: str) -> None:
    migrate(database_url)
    assert not list(CANARIES.in_rows(database_url))
    db = Database(database_url)
    db.write(keys.create, team="red", name=f"a {SECRET}", role=Role.VIEWER)
    db.close()
    assert list(CANARIES.in_rows(database_url)) == [("planted", "api_keys.name")]


@pytest.mark.parametrize("number", [BROKER_DB, RESULT_DB, EVENT_DB])
@pytest.mark.parametrize(
    "command",
    [
        ("SET", "k", SECRET),
        ("SET", SECRET, "v"),
        ("RPUSH", "k", "a", SECRET),
        ("SADD", "k", SECRET),
        ("ZADD", "k", "1", SECRET),
        ("HSET", "k", "f", SECRET),
        ("HSET", "k", SECRET, "v"),
        ("XADD", "k", "1-1", "e", SECRET),
    ],
    ids=lambda command: "-".join(command[:2]),
)
def test_a_canary_is_found_in_redis(redis_under_test: RedisServer, number: int, command: tuple[str, ...]) -> None:
    assert not list(CANARIES.in_redis(redis_under_test.url))
    with Redis.from_url(with_db(redis_under_test.url, number)) as client:
        client.execute_command(*command)
    assert names(CANARIES.in_redis(redis_under_test.url)) == {"planted"}


def test_a_canary_is_found_in_an_object(s3_bucket: S3Bucket) -> None:
    assert not list(CANARIES.in_bucket(s3_bucket))
    client = boto3.client(
        "s3",
        endpoint_url=s3_bucket.endpoint_url,
        region_name=s3_bucket.region,
        aws_access_key_id=s3_bucket.access_key_id,
        aws_secret_access_key=s3_bucket.secret_access_key,
    )
    client.put_object(Bucket=s3_bucket.name, Key="a/b", Body=SECRET.encode())
    client.close()
    assert list(CANARIES.in_bucket(s3_bucket)) == [("planted", "object a/b")]


@pytest.mark.parametrize(("argv", "env"), [([SECRET], {}), ([], {"HIDDEN": SECRET})], ids=["argument", "environment"])
def test_a_canary_is_found_in_a_process(argv: list[str], env: dict[str, str]) -> None:
    with ProcessWatch(CANARIES) as watch:
        waiting = [sys.executable, "-c", "input()", *argv]
        with subprocess.Popen(waiting, stdin=subprocess.PIPE, env=env) as process:
            wait_for(lambda: watch.found, message="the canary was not seen")
            process.communicate(b"\n")
    assert names(watch.found) == {"planted"}


@pytest.mark.parametrize(
    ("arguments", "mark", "allowed", "found"),
    [
        ([], MARKER, "planted", False),
        ([], "OTHER", "planted", True),
        ([], MARKER, "long", True),
        ([SECRET], MARKER, "planted", True),
        (["ansible_api.execution.guardian"], MARKER, "planted", True),
        (["/usr/bin/bwrap"], MARKER, "planted", True),
    ],
    ids=["in a play", "no play", "another secret", "argument", "guardian", "bwrap"],
)
def test_only_the_environment_of_a_play_may_hold_what_is_allowed_there(
    arguments: list[str], mark: str, allowed: str, found: bool
) -> None:
    waiting = [sys.executable, "-c", "print('begun', flush=True); input()", *arguments]
    env = {mark: "job-x.1", "HIDDEN": SECRET}
    with subprocess.Popen(waiting, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert (names(CANARIES.in_processes(lambda name, _environ: name == allowed)) == {"planted"}) is found
        process.communicate(b"\n")
