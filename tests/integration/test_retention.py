"""What has had its time goes, from the object store first; nothing else does, and nothing stays behind for ever."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.orm import Session

from ansible_api.credentials.cipher import Cipher
from ansible_api.db import Database, first_id
from ansible_api.deliveries import store as deliveries
from ansible_api.deliveries.model import Delivery
from ansible_api.errors import Unavailable
from ansible_api.events import keys
from ansible_api.jobs import groups, repositories, retention, store
from ansible_api.jobs.fairness import Group
from ansible_api.jobs.model import ConcurrencyGroup, IdempotencyKey, Job, JobHost, LineTurn, Repository
from ansible_api.models import metadata
from ansible_api.objects.directory import DirectoryStore
from ansible_api.settings import Settings
from ansible_api.tasks import retention as tasks
from ansible_api.tasks.retention import Retention
from tests.integration.aged import DAY, closed, keep, kept, on_s3, rounds, there
from tests.integration.conftest import MASTER_KEY
from tests.integration.rows import at_once, new_job, past, put, row, rows_read, running
from tests.many_jobs import fill
from tests.servers.mariadb import MariaDBServer
from tests.servers.s3 import S3Bucket, S3Server


@pytest.fixture(params=["directory", "s3"])
def either(request: pytest.FixtureRequest, settings: Settings) -> Settings:
    """Settings with each kind of object store."""
    if request.param == "directory":
        return settings
    return on_s3(settings, request.getfixturevalue("s3_bucket"))


def test_what_has_had_its_time_goes_and_all_else_stays(db: Database, either: Settings) -> None:
    waiting, playing = new_job(db), running(db, play_started_at=past(200 * DAY)).job_id
    keep(either, keys.segments(playing, 1) + "x", keys.segments(waiting, 1) + "x")
    young, of_age = closed(db, either, 29), closed(db, either, 31)
    old = [closed(db, either, 91, status=status) for status in ("stored", "partial", "failed")]
    unclosed = closed(db, either, 91, closed_at=None, log_status="failed")
    rounds(db, either)
    assert there(db) == {waiting, playing, young, of_age, unclosed}
    assert kept(either) == {waiting, playing, young, unclosed}
    assert row(db, of_age)["log_status"] == "expired"
    assert db.read(store.objects, of_age) == []
    assert row(db, young)["log_status"] == "stored"
    assert rows_about(db, old) == {}
    rounds(db, either)
    assert there(db) == {waiting, playing, young, of_age, unclosed}


def rows_about(db: Database, job_ids: list[str]) -> dict[str, int]:
    """How many rows each table has about these jobs, where it has any."""

    def count(session: Session) -> dict[str, int]:
        about = {table.name: table.c["job_id"] for table in metadata.sorted_tables if "job_id" in table.c}
        about["jobs"] = metadata.tables["jobs"].c["id"]
        numbers = {
            name: session.scalar(select(func.count()).where(column.in_(job_ids))) or 0 for name, column in about.items()
        }
        return {name: number for name, number in numbers.items() if number}

    return db.read(count)


def test_a_job_says_itself_how_long_its_log_is_kept_and_is_kept_as_long(db: Database, settings: Settings) -> None:
    brief = [closed(db, settings, days, retain_days=3) for days in (2, 4)]
    long = [closed(db, settings, days, retain_days=365) for days in (100, 366)]
    rounds(db, settings)
    assert there(db) == {*brief, long[0]}
    assert kept(settings) == {brief[0], long[0]}
    assert row(db, brief[1])["log_status"] == "expired"


def test_shorter_settings_hold_for_what_is_there_already(db: Database, settings: Settings) -> None:
    job_id = closed(db, settings, 9)
    rounds(db, settings)
    assert there(db) == kept(settings) == {job_id}
    rounds(db, settings.model_copy(update={"retain_logs_days": 8}))
    assert (there(db), kept(settings)) == ({job_id}, set())
    rounds(db, settings.model_copy(update={"retain_jobs_days": 8}))
    assert there(db) == set()


@pytest.mark.parametrize("dies_in", ["_empty", "_settle"], ids=["before the objects went", "after the objects went"])
def test_what_one_began_and_did_not_end_another_ends(
    db: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch, dies_in: str
) -> None:
    of_age, old = closed(db, settings, 31), closed(db, settings, 91)

    def die(*_: Any) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(tasks if dies_in == "_empty" else Retention, dies_in, die)
        with pytest.raises(SystemExit):
            Retention(db, settings).round()
    assert there(db) == {of_age, old}
    assert kept(settings) == ({of_age, old} if dies_in == "_empty" else set())
    assert {row(db, job_id)["log_status"] for job_id in (of_age, old)} == {"expired"}
    rounds(db, settings)  # it may still be at it
    assert there(db) == {of_age, old}
    for job_id in (of_age, old):
        put(db, job_id, log_expires_at=past())
    rounds(db, settings)
    assert (there(db), kept(settings)) == ({of_age}, set())


def test_no_row_goes_before_its_objects_and_others_do_not_wait_for_it(
    db: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = closed(db, settings, 92)
    closed(db, settings, 91)
    stuck = keys.artifact(first, 1, 0)
    delete = DirectoryStore.delete

    async def refuse(self: DirectoryStore, key: str) -> None:
        if key == stuck:
            raise Unavailable("not this one")
        await delete(self, key)

    with monkeypatch.context() as patch:
        patch.setattr(DirectoryStore, "delete", refuse)
        patch.setattr(tasks, "JOBS_AT_ONCE", 1)
        with pytest.raises(Unavailable):
            Retention(db, settings).round()
    assert (there(db), kept(settings)) == ({first}, {first})
    put(db, first, log_expires_at=past())
    rounds(db, settings)
    assert (there(db), kept(settings)) == (set(), set())


def test_objects_that_nobody_can_see_are_not_gone(db: Database, settings: Settings) -> None:
    job_id = closed(db, settings, 91)
    assert settings.objects_dir is not None
    folder = settings.objects_dir / keys.of_job(job_id)
    folder.rename(settings.objects_dir / "elsewhere")
    folder.symlink_to(folder)  # for root, too, a directory that cannot be read
    with pytest.raises(Unavailable):
        Retention(db, settings).round()
    assert there(db) == {job_id}
    folder.unlink()
    (settings.objects_dir / "elsewhere").rename(folder)
    put(db, job_id, log_expires_at=past())
    rounds(db, settings)
    assert (there(db), kept(settings)) == (set(), set())


def test_what_came_after_a_log_had_gone_goes_with_the_job(db: Database, settings: Settings) -> None:
    job_id = closed(db, settings, 31)
    rounds(db, settings)
    keep(settings, keys.segments(job_id, 1) + "late")
    put(db, job_id, closed_at=past(91 * DAY))
    rounds(db, settings)
    assert (there(db), kept(settings)) == (set(), set())


def test_a_round_takes_a_batch_and_says_whether_there_is_more(
    db: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "BATCH", 3)
    for days in (31, 91):
        for _ in range(4):
            closed(db, settings, days)
    work, had = Retention(db, settings), []
    while True:
        before = len(kept(settings))
        more = work.round()
        had.append(before - len(kept(settings)))
        if not more:
            break
    assert had == [3, 3, 2]
    assert len(there(db)) == 4


def test_very_many_logs_hold_no_row_up(db: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    old, left = closed(db, settings, 31), closed(db, settings, 31)
    rounds(db, settings)
    put(db, old, closed_at=past(91 * DAY))
    put(db, left, log_expires_at=past())
    young = {closed(db, settings, 31) for _ in range(5)}
    monkeypatch.setattr(tasks, "BATCH", 1)
    work = Retention(db, settings)
    for _ in range(3):
        assert work.round()
    assert there(db) == {left, *young}
    assert row(db, left)["log_expires_at"] is None
    assert len(kept(settings)) == 4


def test_several_workers_at_once_do_no_harm(db: Database, either: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "BATCH", 5)
    of_age = {closed(db, either, 31) for _ in range(8)}
    for _ in range(8):
        closed(db, either, 91)
    at_once(4, lambda _: rounds(db, either))
    assert (there(db), kept(either)) == (of_age, set())


def test_while_the_directory_is_away_nothing_is_taken(db: Database, settings: Settings) -> None:
    job_id = closed(db, settings, 91)
    objects = settings.objects_dir
    assert objects is not None
    objects.rename(objects.with_name("elsewhere"))
    objects.touch()
    before = row(db, job_id)
    with pytest.raises(Unavailable):
        Retention(db, settings).round()
    assert row(db, job_id) == before
    objects.unlink()
    objects.with_name("elsewhere").rename(objects)
    rounds(db, settings)
    assert there(db) == set()


def test_while_s3_is_away_nothing_is_taken(
    db: Database, settings: Settings, s3_server: S3Server, s3_bucket: S3Bucket
) -> None:
    s3 = on_s3(settings, s3_bucket)
    job_id = closed(db, s3, 91)
    before = row(db, job_id)
    s3_server.process.kill()
    with pytest.raises(Unavailable):
        Retention(db, s3).round()
    assert row(db, job_id) == before
    s3_server.process.revive()
    rounds(db, s3)
    assert (there(db), kept(s3)) == (set(), set())


def test_a_job_waits_for_a_webhook_that_is_still_to_be_sent(db: Database, settings: Settings) -> None:
    job_id = closed(db, settings, 91)
    cipher = Cipher.from_setting(SecretStr(MASTER_KEY))
    sent = db.write(deliveries.plan, cipher, team="red", job_id=job_id, url="https://ci.example.com/hook")
    rounds(db, settings)
    assert (there(db), kept(settings)) == ({job_id}, set())
    deliver(db, sent.id)
    rounds(db, settings)
    assert there(db) == {job_id}  # looked at again tomorrow
    put(db, job_id, log_expires_at=past())
    rounds(db, settings)
    assert rows_about(db, [job_id]) == {}


def deliver(db: Database, delivery_id: str) -> None:
    def write(session: Session) -> None:
        session.get_one(Delivery, delivery_id).state = "delivered"

    db.write(write)


def test_a_job_of_very_many_hosts_goes_in_several_steps(
    db: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "HOSTS_AT_ONCE", 2)
    job_id = closed(db, settings, 91)
    more = [{"job_id": job_id, "host": f"web{number}"} for number in range(2, 6)]
    db.write(lambda session: session.execute(insert(JobHost), more) and None)
    assert [db.write(retention.remove, job_id) for _ in range(2)] == [False, False]
    assert there(db) == {job_id}
    rounds(db, settings)
    assert rows_about(db, [job_id]) == {}


def test_a_concurrency_group_goes_with_its_last_job(db: Database, settings: Settings) -> None:
    for group, count in (("build-1", 3), ("deploy", 2)):
        for _ in range(count):
            put(db, closed(db, settings, 91), concurrency_group=group)
    put(db, new_job(db), concurrency_group="deploy")
    put(db, new_job(db, team="blue"), concurrency_group="build-1")
    all_of_them = [Group("red", "build-1"), Group("red", "deploy"), Group("blue", "build-1")]
    for one in all_of_them:
        db.write(groups.lock, one)
    assert groups_there(db) == set(all_of_them)
    at_once(4, lambda _: rounds(db, settings))
    assert groups_there(db) == set(all_of_them[1:])


def groups_there(db: Database) -> set[Group]:
    query = select(ConcurrencyGroup.team, ConcurrencyGroup.name)
    return {Group(*found) for found in db.read(lambda session: session.execute(query).all())}


def test_a_group_that_is_wanted_again_as_its_last_job_goes_is_counted_by_one_at_a_time(
    db: Database, settings: Settings
) -> None:
    job_id, group = closed(db, settings, 91), Group("red", "build-1")
    put(db, job_id, concurrency_group=group.name, log_status="expired")
    db.write(groups.lock, group)
    inside, most = list[int](), list[int]()

    def work(number: int) -> None:
        def count(session: Session) -> None:
            groups.lock(session, group)
            inside.append(number)
            most.append(len(inside))
            time.sleep(0.05)
            inside.remove(number)

        if number == 0:
            db.write(retention.remove, job_id)
        else:
            db.write(count)

    at_once(5, work)
    assert most == [1, 1, 1, 1]
    assert there(db) == set()


def test_lines_that_nobody_has_stood_in_since_yesterday_are_forgotten(db: Database, settings: Settings) -> None:
    for queue, age in (("default", 2), ("git-heavy", 0.5)):
        turn = LineTurn(queue=queue, team="red", key_id="k", served_at=past(age * DAY))
        db.write(lambda session, turn=turn: session.add(turn))
    Retention(db, settings).round()
    assert db.read(lambda session: session.scalars(select(LineTurn.queue)).all()) == ["git-heavy"]


def test_repositories_that_nobody_has_measured_for_a_month_are_forgotten(db: Database, settings: Settings) -> None:
    days = {"https://git.example.com/old.git": 31, "https://git.example.com/young.git": 29}
    for repo, age in days.items():
        db.write(repositories.measured, repo, 100.0, slow_after=30.0)
        last = update(Repository).where(Repository.measured_at > past(DAY)).values(measured_at=past(age * DAY))
        db.write(lambda session, last=last: session.execute(last) and None)  # type: ignore[misc]
    rounds(db, settings)
    left = db.read(lambda session: session.scalar(select(func.count()).select_from(Repository)))
    assert left == 1
    assert db.read(repositories.slowest, ["https://git.example.com/young.git"]) == 100.0


def test_idempotency_keys_are_forgotten_after_two_days_and_their_jobs_stay(db: Database, settings: Settings) -> None:
    made = {hours: first_id("job", datetime.now(UTC) - timedelta(hours=hours)) for hours in (1, 47, 49, 500)}
    for hours, job_id in made.items():
        _with_key(db, job_id, f"key {hours}")
    rounds(db, settings)
    left = db.read(lambda session: session.scalars(select(IdempotencyKey.key).order_by(IdempotencyKey.key)).all())
    assert left == ["key 1", "key 47"]
    assert there(db) == {*made.values()}


def _with_key(db: Database, job_id: str, key: str) -> None:
    def write(session: Session) -> None:
        given = {"team": "red", "key_id": "k", "queue": "default", "priority": 5, "route_reason": "test"}
        spec = {"source": {"path": "site.yml"}, "options": {}}
        more = {"trace_parent": None, "relaunch_of": None, "urgency": 0.0}
        more |= {"concurrency_group": None, "concurrency_limit": None}
        store.insert_job(session, republish_after=5.0, id=job_id, spec=spec, **given, **more)
        session.add(IdempotencyKey(team="red", key=key, body_sha256="x", job_id=job_id))

    db.write(write)


def test_what_is_due_is_found_without_reading_the_rest(migrated_mariadb: str, mariadb_server: MariaDBServer) -> None:
    mariadb_server.process.revive()
    db, now = Database(migrated_mariadb), datetime.now(UTC)
    with db.engine.begin() as connection:
        connection.execute(delete(Job))
    fill(db, 3000, until=now - timedelta(days=40))  # expired, but not old
    with db.engine.begin() as connection:
        connection.execute(update(Job).values(log_status="expired"))
    fill(db, 3000, until=now - timedelta(days=2))
    fill(db, 30, until=now - timedelta(days=35))
    with Session(db.engine) as session, session.begin():
        before = rows_read(session)
        taken = retention.take(session, logs_days=30, jobs_days=90, limit=100)
        assert len(taken) == 29  # one of them runs
        assert rows_read(session) - before < 300
    with db.engine.begin() as connection:
        connection.execute(delete(Job))
    db.close()
