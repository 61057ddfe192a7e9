import os
import stat
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from tests.integration.execution.gathering import Gatherer
from tests.integration.execution.plays import Trial, repository, spec_of
from tests.servers.webhook_sink import Answer, WebhookSink, webhook_sink

from ansible_api.credentials.secrets import Password, Variables
from ansible_api.egress import Policy
from ansible_api.execution import inventory_cache, inventory_listing
from ansible_api.jobs.state import Phase, Status

INLINE: dict[str, Any] = {
    "type": "inline",
    "hosts": ["z"],
    "groups": {"web": ["b", "a"], "db": {"hosts": ["c"], "vars": {"level": 1}}, "all_web": {"children": ["web"]}},
    "host_vars": {"a": {"colour": "{{ base }}ish"}},
    "group_vars": {"all": {"ansible_connection": "local", "base": "green", "level": 0}},
}
CONSTRUCTED = {
    "type": "dynamic",
    "plugin": "ansible.builtin.constructed",
    "config": {"strict": True, "groups": {"low": "level == 0"}, "compose": {"twice": "level * 2"}},
}


@pytest.fixture
def cmdb() -> Iterator[WebhookSink]:
    with webhook_sink() as sink:
        sink.default = Answer(200, body=b"web: {hosts: {d: {level: 7}}}")
        yield sink


def test_a_list_is_merged_in_order_and_later_plugins_see_earlier_hosts(
    trial: Trial, tmp_path: Path, cmdb: WebhookSink
) -> None:
    play = (
        "- {hosts: low, gather_facts: false, tasks: [{name: show, debug: {msg: '{{ colour | d(0) }} {{ twice }}'}}]}\n"
    )
    trial.config = replace(trial.config, egress=Policy(allow_loopback=True))
    inventory = [INLINE, {"type": "url", "url": cmdb.url}, CONSTRUCTED]
    outcome = trial.run(spec_of(repository(tmp_path / "repo", {"site.yml": play}), inventory=inventory))
    assert outcome.status is Status.SUCCESSFUL
    shown = {event.host: event.result["msg"] for event in trial.events if event.type == "runner_on_ok"}
    assert shown == {"z": "0 0", "b": "0 0", "a": "greenish 0"}
    (facts,) = [phase.facts["inventory"] for phase in trial.phases if phase.phase is Phase.STARTING]
    assert facts == {"host_count": 5, "matched_count": 5, "matched_hosts": ["z", "b", "a", "c", "d"]}


LIMITS: dict[str, tuple[str | list[str], list[str]]] = {
    "a host": ("a", ["a"]),
    "hosts in any order": ("c,a", ["a", "c"]),
    "a group": ("web", ["b", "a"]),
    "a group of groups": ("all_web:c", ["b", "a", "c"]),
    "ungrouped": ("ungrouped", ["z"]),
    "all": ("all", ["z", "b", "a", "c"]),
    "a list": (["c", "z"], ["z", "c"]),
    "some unknown": ("a,nobody", ["a"]),
    "a wildcard": ("[bz]*", ["z", "b"]),
    "an exclusion": ("all:!web", ["z", "c"]),
    "an intersection": ("web:&all_web:!b", ["a"]),
    "a regular expression": ("~^(c|z)$", ["z", "c"]),
    "a subscript": ("web[0]", ["b"]),
    "a list with a subscript": (["web[1]", "z"], ["z", "a"]),
}


@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_leaves_the_hosts_that_ansible_would_play_on(gatherer: Gatherer, name: str) -> None:
    limit, hosts = LIMITS[name]
    facts = gatherer.facts(INLINE, limit=limit)
    assert facts == {"host_count": 4, "matched_count": len(hosts), "matched_hosts": hosts}


@pytest.mark.parametrize("limit", ["nobody", "nobody,nothing", "x*", "web:!all_web", ["nobody"]])
def test_a_limit_that_leaves_nobody_is_an_error(gatherer: Gatherer, limit: Any) -> None:
    error = gatherer.refusal(INLINE, limit=limit)
    assert (error.job_code, "correct options.limit" in error.detail) == ("limit_matches_nothing", True)


def test_a_limit_that_is_no_pattern_is_an_error(gatherer: Gatherer) -> None:
    error = gatherer.refusal(INLINE, limit="~(")
    assert (error.job_code, "correct options.limit" in error.detail) == ("limit_invalid", True)
    assert str(gatherer.root) not in error.detail


def test_more_hosts_than_max_hosts_are_refused_and_those_within_are_not(gatherer: Gatherer) -> None:
    error = gatherer.refusal(INLINE, max_hosts=3)
    assert error.job_code == "too_many_hosts"
    assert "4 hosts would be played on, and options.max_hosts is 3" in error.detail
    assert gatherer.facts(INLINE, max_hosts=3, limit="web")["matched_count"] == 2
    assert gatherer.facts(INLINE, max_hosts=4)["matched_count"] == 4


def test_an_inline_inventory_starts_no_process(gatherer: Gatherer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventory_listing, "run_tool", None)
    with gatherer.gathered(INLINE, limit="web,c") as found:
        assert stat.S_IMODE(found.path.stat().st_mode) == 0o600


def test_ranges_and_ports_in_inline_names_are_counted_as_ansible_reads_them(gatherer: Gatherer) -> None:
    inventory = {"type": "inline", "hosts": ["w[1:3]", "p:2222", "2001:db8::1"]}
    with gatherer.gathered(inventory) as found:
        assert found.facts["matched_hosts"] == ["w1", "w2", "w3", "p", "2001:db8::1"]
        assert '"p": {"ansible_port": 2222}' in found.path.read_text()


def test_a_short_name_for_very_many_hosts_takes_bounded_memory(
    gatherer: Gatherer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inventory_listing, "MEMORY", 256 * 2**20)
    error = gatherer.refusal({"type": "inline", "hosts": ["w[0:999999999]"]})
    assert (error.job_code, "memory" in error.detail) == ("inventory_too_large", True), error.detail


def test_only_the_first_hundred_names_are_told(gatherer: Gatherer) -> None:
    facts = gatherer.facts({"type": "inline", "hosts": [f"h{n}" for n in range(250)]})
    assert (facts["host_count"], facts["matched_count"], len(facts["matched_hosts"])) == (250, 250, 100)


def test_plugins_with_contradicting_credentials_are_each_asked_with_their_own(gatherer: Gatherer) -> None:
    plugin = """
from os import environ
from pathlib import Path
from ansible.plugins.inventory import BaseInventoryPlugin
DOCUMENTATION = '''
name: ours
options: {plugin: {type: str}}
'''
class InventoryModule(BaseInventoryPlugin):
    NAME = "ours"
    def parse(self, inventory, loader, path, cache=True):
        super().parse(inventory, loader, path)
        self._read_config_data(path)
        inventory.add_host(environ["ACCOUNT"])
        inventory.set_variable(environ["ACCOUNT"], "key", Path(environ["KEY_FILE"]).read_text())
"""
    gatherer.project = {"ansible.cfg": "[defaults]\ninventory_plugins = plugins\n", "plugins/ours.py": plugin}
    gatherer.secrets = {
        f"/inventory/{n}/cloud_credential": Variables(
            plain={"ACCOUNT": f"acc{n}"}, files={"KEY_FILE": SecretStr(f"k{n}")}
        )
        for n in (0, 1)
    }
    ours = {"type": "dynamic", "plugin": "ours", "cloud_credential": "x"}
    groups = CONSTRUCTED | {"config": {"groups": {"first": "key == 'k0'"}}}
    with gatherer.gathered([ours, ours, groups], limit="first") as found:
        assert found.facts["host_count"] == 2
        assert found.facts["matched_hosts"] == ["acc0"]


# cache_ttl


def cached(target: WebhookSink, ttl: int | None = 60, **more: Any) -> dict[str, Any]:
    return {"type": "url", "url": target.url, "cache_ttl": ttl, **more}


def test_an_answer_is_used_again_within_its_time_and_not_after(gatherer: Gatherer, cmdb: WebhookSink) -> None:
    assert gatherer.facts([INLINE, cached(cmdb)])["cache"] == "miss"
    warm = gatherer.facts([INLINE, cached(cmdb)], limit="web")
    assert (warm["cache"], warm["host_count"], warm["matched_hosts"]) == ("hit", 5, ["b", "a", "d"])
    assert len(cmdb.requests) == 1
    age(gatherer, 61)
    assert gatherer.facts([INLINE, cached(cmdb)])["cache"] == "miss"
    assert gatherer.facts([INLINE, cached(cmdb)])["cache"] == "hit"
    age(gatherer, 31)
    assert gatherer.facts([INLINE, cached(cmdb, ttl=30)])["cache"] == "miss"
    assert len(cmdb.requests) == 3


def age(gatherer: Gatherer, seconds: float) -> None:
    for path in (gatherer.root / "inventories").iterdir():
        os.utime(path, (time.time() - seconds,) * 2)


def test_without_a_time_every_job_asks_anew(gatherer: Gatherer, cmdb: WebhookSink) -> None:
    for _ in range(2):
        assert "cache" not in gatherer.facts([cached(cmdb), cached(cmdb, ttl=None)])
    assert len(cmdb.requests) == 4
    assert not (gatherer.root / "inventories").exists()


CHANGES: dict[str, Callable[[Gatherer, dict[str, Any]], None]] = {
    "another credential": lambda one, spec: setattr(
        one, "secrets", {"/inventory/credential": Variables({"KEY": SecretStr("other")})}
    ),
    "another vault password": lambda one, spec: setattr(
        one, "secrets", {**one.secrets, "/credentials/vault_password": Password(SecretStr("v"))}
    ),
    "another commit of the project": lambda one, spec: setattr(one, "commit", "decaf"),
    "another header": lambda one, spec: spec.update(headers={"X": "2"}),
    "another format": lambda one, spec: spec.update(format="json"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_decides_the_answer_decides_what_is_used_again(gatherer: Gatherer, cmdb: WebhookSink, name: str) -> None:
    cmdb.default = Answer(200, body=b'{"web": {"hosts": {"d": {}}}}')
    gatherer.secrets = {"/inventory/credential": Variables({"KEY": SecretStr("one")})}
    spec = cached(cmdb)
    gatherer.facts(spec)
    CHANGES[name](gatherer, spec)
    assert gatherer.facts(spec)["cache"] == "miss"
    assert len(cmdb.requests) == 2


def test_what_is_kept_is_private_sealed_and_useless_when_damaged(gatherer: Gatherer, cmdb: WebhookSink) -> None:
    gatherer.facts(cached(cmdb))
    (kept,) = (gatherer.root / "inventories").iterdir()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    whole = kept.read_bytes()
    assert b"hosts" not in whole
    for damaged in (whole[:-1], b"", whole[:20] + bytes([whole[20] ^ 1]) + whole[21:]):
        kept.write_bytes(damaged)
        assert gatherer.facts(cached(cmdb))["cache"] == "miss"
    assert gatherer.facts(cached(cmdb))["cache"] == "hit"


def test_parallel_jobs_share_what_is_kept(gatherer: Gatherer, cmdb: WebhookSink) -> None:
    def one(number: int) -> str:
        return str(replace(gatherer, number=number * 10).facts(cached(cmdb))["cache"])

    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(one, range(6))) <= {"hit", "miss"}
    assert one(7) == "hit"
    assert len(list((gatherer.root / "inventories").iterdir())) == 1


def test_a_kept_git_inventory_is_used_until_it_changes(gatherer: Gatherer, tmp_path: Path) -> None:
    repo = repository(tmp_path / "repo", {"hosts": "a\n", "group_vars/all.yml": "x: 1\n"})
    inventory = {"type": "git", "repo": str(repo), "path": "hosts", "cache_ttl": 60}
    assert gatherer.facts(inventory)["cache"] == "miss"
    with gatherer.gathered(inventory) as found:
        assert found.facts["cache"] == "hit"
        assert (found.path.parent / "group_vars/all.yml").exists()


def test_the_oldest_go_when_there_are_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventory_cache, "MOST", 3)
    for number, name in enumerate(["e", "d", "c", "b", "a", "tmp-young", "tmp-old", "ancient"]):
        (tmp_path / name).write_bytes(b"x")
        made = time.time() - {"tmp-old": 4000, "ancient": 90_000}.get(name, 100 - number)
        os.utime(tmp_path / name, (made, made))
    inventory_cache.sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "tmp-young"]
