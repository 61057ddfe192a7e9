"""Names that plays and people choose are kept as they are, in every kind of database."""

from ansible_api.db import Database
from ansible_api.jobs import store
from ansible_api.keys import store as keys
from ansible_api.keys.model import Role
from tests.integration.rows import running

NAMES = ["web1", "WEB1", "wéb1", "web1 ", "🚀", "🔥", "日本", "nul\0", "x" * 255]


def test_hosts_whose_names_look_alike_have_a_recap_each(db: Database) -> None:
    fence = running(db)
    counts = {name: {"ok": number} for number, name in enumerate(NAMES)}

    db.write(store.save_hosts, fence, counts)
    db.write(store.save_hosts, fence, counts)  # as every heartbeat does

    rows = db.read(store.hosts, fence.job_id)
    assert {row.host: row.ok for row in rows} == {name: number for number, name in enumerate(NAMES)}


def test_a_task_may_be_called_anything(db: Database) -> None:
    fence = running(db)

    db.write(store.write_running, fence, current_task="🚀 nul\0 日本", current_play="x" * 255)

    job = db.read(store.get, fence.job_id)
    assert job is not None
    assert job.current_task == "🚀 nul\0 日本"


def test_teams_whose_names_differ_in_case_are_two(db: Database) -> None:
    db.write(keys.create, team="ops", name="a key", role=Role.ADMIN)

    assert db.read(keys.list_keys, "Ops") == []


def test_a_name_longer_than_its_column_is_cut(db: Database) -> None:
    fence = running(db)

    db.write(store.save_hosts, fence, {"x" * 300 + "1": {"ok": 1}, "x" * 300 + "2": {"ok": 2}})

    (row,) = db.read(store.hosts, fence.job_id)
    assert row.host == "x" * 255


def test_hosts_may_be_more_than_a_statement_takes_parameters(db: Database) -> None:
    fence = running(db)
    counts = {f"host{number}": {"ok": 1} for number in range(40_000)}

    db.write(store.save_hosts, fence, counts)

    assert db.read(store.host_totals, [fence.job_id]) == {fence.job_id: (40_000, 40_000, 0)}
