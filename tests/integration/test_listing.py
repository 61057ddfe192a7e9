"""Lists of jobs: every filter, alone and with others, and what they read in a large table."""

import random
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import pytest
from sqlalchemy import event, select, text
from sqlalchemy.orm import Session

from ansible_api.db import Database, now_plus
from ansible_api.jobs import listing, store
from ansible_api.jobs.listing import Filter
from ansible_api.jobs.model import Job
from ansible_api.jobs.state import Status
from tests.integration.rows import SPEC, new_job, put, rows_read
from tests.many_jobs import KEY, RARE_REPO, REPO, fill
from tests.servers.mariadb import MariaDBServer

ROLE = {"type": "collection_role", "collection": "acme.web", "role": "Nginx"}
UNTIL = datetime(2026, 1, 15, 10, tzinfo=UTC)
LIMIT = 25


def labelled(db: Database, job_id: str, **labels: str) -> str:
    def add(session: Session) -> None:
        store.add_labels(session, session.get_one(Job, job_id), labels)

    db.write(add)
    return job_id


def with_spec(db: Database, source: dict[str, Any], team: str = "red", labels: Mapping[str, str] = {}) -> str:
    """A job whose request has that source and those labels."""
    spec = {**SPEC, "source": source, "options": {"labels": labels}}
    return labelled(db, new_job(db, team=team, spec=spec), **labels)


def listed(db: Database, wanted: Filter, limit: int = LIMIT) -> list[str]:
    """The ids on all pages, each but the last with a next one."""
    ids, before = list[str](), None
    while True:
        page = db.read(listing.page, "red", wanted, limit=limit, before=before)
        assert len(page.jobs) <= limit
        ids += [job.id for job in page.jobs]
        if page.more is None:
            return ids
        assert before is None or page.more < before
        before = page.more


OTHER = {"type": "role", "repo": "https://git.example.com/b.git", "path": "roles/db"}


@dataclass(frozen=True)
class Team:
    """The jobs of a team: one for each filter."""

    failed: str
    heavy: str
    other: str
    keyed: str
    prod: str
    plain: str

    @classmethod
    def of(cls, db: Database, team: str) -> Self:
        return cls(
            failed=new_job(db, team=team, status=Status.FAILED),
            heavy=new_job(db, team=team, queue="git-heavy"),
            other=with_spec(db, OTHER, team=team),
            keyed=new_job(db, team=team, key_id="another"),
            prod=labelled(db, new_job(db, team=team), env="prod"),
            plain=new_job(db, team=team),
        )


def test_each_filter_finds_its_jobs_and_none_of_another_team(db: Database) -> None:
    Team.of(db, "blue")
    red = Team.of(db, "red")
    Team.of(db, "blue")
    assert listed(db, Filter()) == sorted(astuple(red), reverse=True)
    assert listed(db, Filter(statuses=["failed"])) == [red.failed]
    assert listed(db, Filter(queue="git-heavy")) == [red.heavy]
    assert listed(db, Filter(repo="https://git.example.com/b.git")) == [red.other]
    assert listed(db, Filter(repo="https://git.example.com/b")) == []
    assert listed(db, Filter(key_id="another")) == [red.keyed]
    assert listed(db, Filter(labels=[("env", "prod")])) == [red.prod]
    assert listed(db, Filter(text="ROLES/DB")) == [red.other]


def test_a_text_is_looked_for_in_names_and_labels_and_means_itself(db: Database) -> None:
    playbooks = with_spec(
        db, {"type": "playbook", "repo": "git@a.example.com:x.git", "path": ["one.yml", "Straße.yml"]}
    )
    role = with_spec(db, ROLE, labels={"team": "Web_Shop", "load": "100%"})
    found = {
        "one.yml": [playbooks], "strasse": [playbooks], "a.example.com": [playbooks], "nginx": [role],
        "acme.w": [role], "web_shop": [role], "load=100%": [role], "webxshop": [], "%": [role], "_": [role], "\\": [],
    }  # fmt: skip
    assert {word: listed(db, Filter(text=word)) for word in found} == found


def test_an_address_that_is_too_long_for_its_column_is_found(db: Database) -> None:
    repo = "https://git.example.com/" + "a" * 900
    job_id = with_spec(db, {"type": "playbook", "repo": repo, "path": "site.yml"})
    assert listed(db, Filter(repo=repo)) == [job_id]


def test_times_are_those_that_the_job_tells(db: Database) -> None:
    moments = [datetime.now(UTC) + timedelta(seconds=seconds) for seconds in (-40, -20, 0, 20)]
    ids = [new_job(db, created_at=moment) for moment in moments]

    def between(after: int | None, before: int | None) -> set[str]:
        bounds = {"created_after": after, "created_before": before}
        return {*listed(db, Filter(**{name: moments[n] for name, n in bounds.items() if n is not None}))}  # type: ignore[arg-type]

    assert between(1, None) == {*ids[1:]}
    assert between(None, 2) == {*ids[:2]}
    assert between(1, 3) == {*ids[1:3]}


@pytest.fixture
def looking_at_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "LOOKED_AT", 5)


@pytest.mark.usefixtures("looking_at_few")
def test_any_filters_together_find_every_job_once_newest_first(db: Database) -> None:
    chance = random.Random(7)
    statuses, queues, values = ["queued", "running", "failed"], ["default", "git-heavy"], ["a", "b"]
    made = {}
    for _ in range(60):
        labels = {name: chance.choice(values) for name in ("x", "y") if chance.random() < 0.8}
        what = {"status": chance.choice(statuses), "queue": chance.choice(queues), "key_id": chance.choice(values)}
        path = chance.choice(["site.yml", "role"])
        job_id = with_spec(db, {**SPEC["source"], "path": path}, labels=labels)
        put(db, job_id, **what)
        made[job_id] = what | {"path": path, "labels": labels}
    for _ in range(60):
        wanted = {
            "statuses": chance.sample(statuses, chance.randrange(4)),
            "queue": chance.choice([None, *queues]),
            "key_id": chance.choice([None, *values]),
            "labels": [(name, chance.choice(values)) for name in chance.sample(["x", "y"], chance.randrange(3))],
            "text": chance.choice([None, "SITE"]),
            "repo": chance.choice([None, SPEC["source"]["repo"]]),
        }
        expected = sorted((job_id for job_id, has in made.items() if _fits(has, wanted)), reverse=True)
        assert listed(db, Filter(**wanted), limit=chance.choice([1, 3, 10])) == expected, wanted  # type: ignore[arg-type]


def _fits(job: dict[str, Any], wanted: dict[str, Any]) -> bool:
    return (
        (not wanted["statuses"] or job["status"] in wanted["statuses"])
        and wanted["queue"] in (None, job["queue"])
        and wanted["key_id"] in (None, job["key_id"])
        and all(job["labels"].get(name) == value for name, value in wanted["labels"])
        and (wanted["text"] is None or job["path"] == "site.yml")
    )


@pytest.mark.usefixtures("looking_at_few")
def test_a_page_without_any_job_goes_on_behind_those_that_were_looked_at(db: Database) -> None:
    oldest = new_job(db, status=Status.FAILED)
    for _ in range(12):
        new_job(db)
    wanted = Filter(statuses=["failed"], text="site")
    assert listed(db, wanted) == [oldest]  # the index of the status has only this one
    page = db.read(listing.page, "red", Filter(created_before=datetime.now(UTC) - timedelta(seconds=30)), limit=5)
    assert (page.jobs, page.more is not None) == ([], True)


# What is read in a large table

ALONE = {
    "nothing": Filter(),
    "status": Filter(statuses=["failed"]),
    "statuses": Filter(statuses=["queued", "running", "successful"]),
    "queue": Filter(queue="git-heavy"),
    "repo": Filter(repo=REPO),
    "rare repo": Filter(repo=RARE_REPO),
    "key": Filter(key_id=KEY),
    "label": Filter(labels=[("env", "prod")]),
    "absent": Filter(repo="https://git.example.com/none.git"),
}
TOGETHER = {
    "text": Filter(text="no such text"),
    "after": Filter(created_after=UNTIL - timedelta(minutes=5)),
    "before": Filter(created_before=UNTIL - timedelta(minutes=15)),
    "repo and status": Filter(repo=REPO, statuses=["failed", "lost"]),
    "statuses and queue": Filter(statuses=["successful", "running"], queue="long-running"),
    "labels": Filter(labels=[("env", "prod"), ("env", "test")]),
    "label and status": Filter(labels=[("env", "prod")], statuses=["running"]),
}


@pytest.fixture(scope="module")
def large(migrated_mariadb: str, mariadb_server: MariaDBServer) -> Iterator[Database]:
    """A table with 20,000 jobs of one team."""
    mariadb_server.process.revive()
    database = Database(migrated_mariadb)
    with database.engine.begin() as connection:
        connection.execute(text("DELETE FROM jobs"))
    fill(database, 20_000, until=UNTIL)
    yield database
    with database.engine.begin() as connection:
        connection.execute(text("DELETE FROM jobs"))
    database.close()


@pytest.mark.parametrize(("wanted", "most"), [
    *(pytest.param(one, 20 * LIMIT, id=name) for name, one in ALONE.items()),
    *(pytest.param(one, 5 * listing.LOOKED_AT, id=name) for name, one in TOGETHER.items()),
])  # fmt: skip
def test_a_page_reads_and_sorts_little_of_a_large_table(large: Database, wanted: Filter, most: int) -> None:
    statements = list[tuple[str, Any]]()
    with Session(large.engine) as session:
        before = rows_read(session)

        def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
            statements.append((statement, parameters))

        event.listen(large.engine, "before_cursor_execute", note)
        try:
            page = listing.page(session, "red", wanted, limit=LIMIT)
        finally:
            event.remove(large.engine, "before_cursor_execute", note)
        read = rows_read(session) - before
        for statement, parameters in statements:
            plan = session.connection().exec_driver_sql("EXPLAIN " + statement, parameters).mappings().all()
            for step in plan:
                assert step["type"] != "ALL" or step["table"].startswith(("<", "union")), plan
                merged = step["table"] is None or step["table"].startswith(("<derived", "<union"))
                assert merged or "filesort" not in (step["Extra"] or ""), plan
    assert read < most, (statements, plan)
    assert all(job.team == "red" for job in page.jobs)


def test_a_page_deep_in_a_large_table_reads_no_more_than_the_first(large: Database) -> None:
    with Session(large.engine) as session:
        oldest = session.scalars(select(Job.id).order_by(Job.id).offset(500).limit(1)).one()
        before = rows_read(session)
        page = listing.page(session, "red", limit=LIMIT, before=oldest)
        assert rows_read(session) - before < 20 * LIMIT
    assert len(page.jobs) == LIMIT


def test_a_waiting_job_is_found_by_what_its_request_says(db: Database) -> None:
    job_id = new_job(db)
    repo, said = db.read(
        lambda session: session.execute(select(Job.repo, Job.search_text).where(Job.id == job_id)).one()
    )
    assert repo == SPEC["source"]["repo"]
    assert said.split("\n") == [SPEC["source"]["repo"], SPEC["source"]["path"]]
    put(db, job_id, finished_at=now_plus())
    assert listed(db, Filter(text="site.yml")) == [job_id]
