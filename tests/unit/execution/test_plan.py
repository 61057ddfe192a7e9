"""What is read from Ansible's listing of hosts and tasks."""

import json

from ansible_api.execution.mask import MASK
from ansible_api.execution.plan import (
    MOST_HOSTS,
    MOST_PLAYS,
    MOST_TASKS,
    MOST_TEXT,
    NAME_LIMIT,
    _without_secrets,
    parse,
)

LISTING = """
playbook: site.yml

  play #1 (web:db): Deploy (it) now\tTAGS: [deploy,now]
    pattern: ['web:db']
    hosts (2):
      web1
      db1
    tasks:
      nginx : Install\tTAGS: [deploy, packages]
      Restart\tTAGS: []

  play #2 (nobody): nobody\tTAGS: []
    pattern: ['nobody']
    hosts (0):
    tasks:

playbook: second.yml

  play #1 (all): all\tTAGS: []
    pattern: ['all']
    hosts (1):
      web1
    tasks:
"""


def test_playbooks_plays_hosts_and_tasks_are_found_in_their_order() -> None:
    first, second = parse(LISTING)
    assert (first["playbook"], second["playbook"]) == ("site.yml", "second.yml")
    assert first["plays"] == [
        {
            "name": "Deploy (it) now",
            "pattern": "web:db",
            "tags": ["deploy", "now"],
            "host_count": 2,
            "hosts": ["web1", "db1"],
            "tasks": [{"name": "nginx : Install", "tags": ["deploy", "packages"]}, {"name": "Restart", "tags": []}],
        },
        {"name": "nobody", "pattern": "nobody", "tags": [], "host_count": 0, "hosts": [], "tasks": []},
    ]
    assert second["plays"][0]["hosts"] == ["web1"]


def test_what_is_no_listing_is_an_empty_plan() -> None:
    assert parse("    tasks:\n      Lone\tTAGS: []\n  play #1 (all): all\tTAGS: []\n") == []


def test_a_plan_is_bounded_whatever_the_repository_holds() -> None:
    hosts = "".join(f"      h{number}\n" for number in range(MOST_HOSTS + 5))
    tasks = "".join(f"      {'t' * 999}{number}\tTAGS: []\n" for number in range(MOST_TASKS + 5))
    play = f"  play #1 (all): all\tTAGS: []\n    hosts ({MOST_HOSTS + 5}):\n{hosts}    tasks:\n"
    (playbook,) = parse("playbook: a.yml\n" + play + tasks + play * MOST_PLAYS)
    assert len(playbook["plays"]) == MOST_PLAYS
    first = playbook["plays"][0]
    assert (first["host_count"], len(first["hosts"])) == (MOST_HOSTS + 5, MOST_HOSTS)
    assert (len(first["tasks"]), len(first["tasks"][0]["name"])) == (MOST_TASKS, NAME_LIMIT)


def test_values_of_what_is_called_secret_are_not_shown() -> None:
    given = {"db_password": "x", "port": 1, "deep": {"API_KEY": ["x"], "users": [{"token": "x", "name": "a"}]}}
    shown = {"db_password": MASK, "port": 1, "deep": {"API_KEY": MASK, "users": [{"token": MASK, "name": "a"}]}}
    assert _without_secrets(given) == shown


def test_long_tags_and_hosts_do_not_make_a_plan_large() -> None:
    tags = ", ".join(f"{number}{'g' * 254}" for number in range(50))
    hosts = "".join(f"      {'h' * 250}{number}\n" for number in range(MOST_HOSTS))
    play = f"  play #1 (all): all\tTAGS: [{tags}]\n    hosts (1):\n{hosts}    tasks:\n"
    task = f"      {'t' * 255}\tTAGS: [{tags}]\n"
    plan = parse("playbook: a.yml\n" + (play + task * 10) * 100)
    assert plan[0]["plays"][0]["tasks"]
    assert MOST_TEXT / 2 < len(json.dumps(plan)) < 2 * MOST_TEXT
