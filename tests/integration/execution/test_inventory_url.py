import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from tests.integration.execution.gathering import Gatherer
from tests.integration.execution.plays import Trial, repository, spec_of
from tests.servers.webhook_sink import Answer, WebhookSink, webhook_sink
from tests.waiting import wait_for

from ansible_api.credentials.secrets import Secrets, Variables
from ansible_api.egress import Policy
from ansible_api.errors import TransientJobError
from ansible_api.jobs.state import Phase, Status

LOCAL = "all: {hosts: {a: , b: {ansible_connection: local}}, vars: {ansible_connection: local}}"
TOKEN = "token-of-the-cmdb"


@pytest.fixture
def cmdb() -> Iterator[WebhookSink]:
    with webhook_sink() as sink:
        sink.default = Answer(200, body=LOCAL.encode())
        yield sink


def url(target: WebhookSink | str, **more: Any) -> dict[str, Any]:
    return {"type": "url", "url": target if isinstance(target, str) else target.url, **more}


def answer(text: str) -> Answer:
    return Answer(200, body=text.encode())


def to(location: str, status: int = 302) -> Answer:
    return Answer(status, {"Location": location})


def credential(**values: str) -> dict[str, Variables]:
    return {"/inventory/credential": Variables({name: SecretStr(value) for name, value in values.items()})}


def test_a_job_plays_on_the_hosts_of_a_cmdb_and_its_token_never_shows(
    trial: Trial, tmp_path: Path, cmdb: WebhookSink
) -> None:
    play = "- hosts: all\n  gather_facts: false\n  tasks: [{name: show, debug: {msg: '{{ note }}'}}]\n"
    cmdb.default = answer(
        '{"_meta": {"hostvars": {"a": {"ansible_connection": "local", "note": "{{ 6 * 7 }}"}}}, "web": ["a"]}'
    )
    trial.config = replace(trial.config, egress=Policy(allow_loopback=True))
    trial.secrets = Secrets(credential(CMDB_TOKEN=TOKEN))
    inventory = url(cmdb, format="json", headers={"Authorization": "Bearer ${CMDB_TOKEN}"}, credential="cmdb")
    outcome = trial.run(spec_of(repository(tmp_path / "repo", {"site.yml": play}), inventory=inventory))
    assert outcome.status is Status.SUCCESSFUL
    assert trial.result("show")["msg"] == "{{ 6 * 7 }}"  # a text of the CMDB's, not a template
    (request,) = cmdb.requests
    assert request.headers["Authorization"] == f"Bearer {TOKEN}"
    (facts,) = [phase.facts["inventory"] for phase in trial.phases if phase.phase is Phase.STARTING]
    assert facts == {"host_count": 1, "matched_count": 1, "matched_hosts": ["a"]}
    assert TOKEN not in trial.text
    assert trial.leftovers() == []


FORMS = {
    "yaml": ("web: {hosts: {a: , 'b': {x: 1}}}\n", "yaml"),
    "ini": ("[web]\na x=1\nb\n[web:vars]\ny=2\n", "ini"),
    "json like YAML": ('{"all": {"children": {"web": {"hosts": {"a": {"x": 1}, "b": null}}}}}', "json"),
    "json of inventory scripts": (
        '{"web": {"hosts": ["a", "b"], "vars": {"x": "{{ y }}"}}, "_meta": {"hostvars": {}}}',
        "json",
    ),
    "json of short groups": ('{"web": ["a", "b"]}', "json"),
}


@pytest.mark.parametrize("name", FORMS)
def test_an_answer_in_the_format_said_gives_its_hosts(gatherer: Gatherer, cmdb: WebhookSink, name: str) -> None:
    text, form = FORMS[name]
    cmdb.default = answer(text)
    assert gatherer.facts(url(cmdb, format=form), limit="web")["matched_hosts"] == ["a", "b"]


REFUSED: dict[str, tuple[Answer, str, str, str]] = {
    "401": (Answer(401), "yaml", "inventory_refused", "answered 401: correct credential and headers"),
    "403": (Answer(403), "yaml", "inventory_refused", "answered 403"),
    "404": (Answer(404), "yaml", "inventory_not_found", "answered 404: correct url"),
    "204": (Answer(204), "yaml", "inventory_invalid", "answered 204, not 200"),
    "HTML for YAML": (answer("<html>: [it works"), "yaml", "inventory_invalid", "not YAML in line"),
    "text for YAML": (answer("it works"), "yaml", "inventory_invalid", "not a YAML mapping"),
    "nothing for YAML": (answer(""), "yaml", "inventory_invalid", "empty"),
    "YAML for JSON": (answer("all: {hosts: {a: }}"), "json", "inventory_invalid", "not JSON: correct format"),
    "a list for JSON": (answer("[1]"), "json", "inventory_invalid", "not a JSON object"),
    "JSON for INI": (answer('{"all": {"hosts": {"a": {}}}}'), "ini", "inventory_invalid", "not INI in line 1"),
    "YAML for INI": (answer("# hosts\nall:\n  hosts:\n    a:\n"), "ini", "inventory_invalid", "not INI in line 2"),
    "HTML for INI": (answer("<html>\n</html>\n"), "ini", "inventory_invalid", "not INI in line 1"),
    "bad INI": (answer("[web\na b\n"), "ini", "inventory_invalid", "inventory: Failed to parse inventory"),
    "hosts as a list in YAML": (answer("all: {hosts: [a]}"), "yaml", "inventory_invalid", 'Invalid "hosts" entry'),
    "bytes": (Answer(200, body=b"\xff\xfe\x00"), "yaml", "inventory_invalid", "not text in UTF-8"),
    "a plugin": (answer("plugin: community.general.nmap\n"), "yaml", "inventory_invalid", "names a plugin"),
    "a plugin in JSON": (answer('{"plugin": "auto"}'), "json", "inventory_invalid", "names a plugin"),
    "a plugin by merging": (answer("<<: {plugin: auto}\n"), "yaml", "inventory_invalid", "merges mappings"),
    "a plugin by alias": (answer("a: &p plugin\n*p : auto\n"), "yaml", "inventory_invalid", "not plain text"),
    "a plugin by tag": (answer("!!binary cGx1Z2lu: auto\n"), "yaml", "inventory_invalid", "not plain text"),
    "several documents": (answer("a: 1\n---\nplugin: auto\n"), "yaml", "inventory_invalid", "several YAML documents"),
    "too much": (Answer(200, body=b"#" * 70_000), "yaml", "inventory_too_large", "larger than 65536 bytes"),
    "no hosts": (answer("all: {hosts: {}}"), "yaml", "inventory_empty", "has no hosts"),
    "a host that is a template": (
        answer('{"g": ["{{ lookup(1) }}"]}'),
        "json",
        "inventory_invalid",
        "cannot be the name of a host",
    ),
    "a range of hosts in JSON": (answer('{"g": ["a[1:999999]"]}'), "json", "inventory_invalid", "cannot be the name"),
    "compressed": (Answer(200, {"Content-Encoding": "gzip"}, b"x"), "yaml", "inventory_unreachable", "compressed"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_answer_that_is_no_inventory_is_refused(gatherer: Gatherer, cmdb: WebhookSink, name: str) -> None:
    cmdb.default, form, code, words = REFUSED[name]
    error = gatherer.with_limits(size=65_536).refusal(url(cmdb, format=form))
    assert error.job_code == code
    assert words in error.detail
    assert str(gatherer.root) not in error.detail
    assert "Traceback" not in error.detail


@pytest.mark.parametrize("status", [429, 500, 503])
def test_trouble_of_the_server_is_worth_another_attempt(gatherer: Gatherer, cmdb: WebhookSink, status: int) -> None:
    cmdb.default = Answer(status)
    error = gatherer.refusal(url(cmdb))
    assert isinstance(error, TransientJobError)
    assert error.job_code == "inventory_unreachable"
    assert str(status) in error.detail


def test_aliases_that_grow_without_end_are_refused_before_anything_reads_them(
    gatherer: Gatherer, cmdb: WebhookSink
) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    cmdb.default = answer("\n".join(lines))
    error = gatherer.refusal(url(cmdb))
    assert (error.job_code, "aliases" in error.detail) == ("inventory_invalid", True)


def test_redirects_are_followed_three_times_and_carry_headers_to_their_own_origin_alone(
    gatherer: Gatherer, cmdb: WebhookSink
) -> None:
    with webhook_sink() as other:
        other.default = to(f"http://127.0.0.1:{cmdb.port}/end")
        cmdb.answer(to("/here", 307), to(other.url))
        gatherer.secrets = credential(KEY="k-1-2-3")
        assert gatherer.facts(url(cmdb, headers={"X-Key": "${KEY}"}, credential="c"))["host_count"] == 2
        assert [request.path for request in cmdb.requests] == ["/hook", "/here", "/end"]
        assert [request.headers["X-Key"] for request in cmdb.requests] == ["k-1-2-3"] * 3
        assert [request.headers["X-Key"] for request in other.requests] == [None]


def test_a_fourth_redirect_and_one_to_nowhere_are_refused(gatherer: Gatherer, cmdb: WebhookSink) -> None:
    cmdb.default = to("/again")
    assert "more than 3 times" in gatherer.refusal(url(cmdb)).detail
    assert len(cmdb.requests) == 4
    cmdb.default = Answer(302)
    assert "to nowhere" in gatherer.refusal(url(cmdb)).detail


@pytest.mark.parametrize(
    "target",
    [
        "http://169.254.169.254/latest",
        "http://[::ffff:169.254.169.254]/",
        "http://0.0.0.0:{port}/",
        "file:///etc/passwd",
    ],
)
def test_a_redirect_to_where_the_service_may_not_go_is_refused(
    gatherer: Gatherer, cmdb: WebhookSink, target: str
) -> None:
    with webhook_sink() as inside:
        cmdb.default = to(target.format(port=inside.port))
        error = gatherer.refusal(url(cmdb))
        assert error.job_code == "inventory_denied"
        assert inside.requests == []


def test_without_leave_nothing_on_this_machine_is_asked(gatherer: Gatherer, cmdb: WebhookSink) -> None:
    gatherer.policy = Policy()
    for target in (cmdb.url, cmdb.url.replace("127.0.0.1", "localhost")):
        assert gatherer.refusal(url(target)).job_code == "inventory_denied"
    assert cmdb.requests == []


def test_a_variable_that_the_credential_lacks_is_named_and_nothing_is_sent(
    gatherer: Gatherer, cmdb: WebhookSink
) -> None:
    gatherer.secrets = credential(OTHER="x-y-z")
    error = gatherer.refusal(url(cmdb, headers={"Authorization": "${CMDB_TOKEN}"}, credential="c"))
    assert error.job_code == "inventory_variable_unknown"
    assert "CMDB_TOKEN" in error.detail
    assert cmdb.requests == []


@pytest.mark.parametrize("value", ["a\r\nX-Injected: 1", "secret\n", "päss", "\x00"])
def test_a_value_that_does_not_fit_into_a_header_is_refused_and_not_shown(
    gatherer: Gatherer, cmdb: WebhookSink, value: str
) -> None:
    gatherer.secrets = credential(KEY=value)
    error = gatherer.refusal(url(cmdb, headers={"X-Key": "${KEY}"}, credential="c"))
    assert error.job_code == "inventory_variable_invalid"
    assert value.strip() not in error.detail
    assert cmdb.requests == []


def test_values_of_variables_are_not_looked_into_for_more_variables(gatherer: Gatherer, cmdb: WebhookSink) -> None:
    gatherer.secrets = credential(ONE="${TWO}", TWO="two")
    gatherer.facts(url(cmdb, headers={"X-Key": "${ONE} $ONE ${}"}, credential="c"))
    assert cmdb.requests[0].headers["X-Key"] == "${TWO} $ONE ${}"


@pytest.fixture
def dripping() -> Iterator[str]:
    """A server that sends one byte of an endless answer at a time."""
    closing = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            try:
                while not closing.wait(0.05):
                    self.wfile.write(b"#")
            except OSError:
                self.close_connection = True

        def log_message(self, format: str, *values: object) -> None:  # noqa: A002 - the name of the base class
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        closing.set()
        server.shutdown()
        thread.join()


def test_a_dripping_answer_ends_at_the_time_limit(gatherer: Gatherer, dripping: str) -> None:
    began = time.monotonic()
    error = gatherer.with_limits(timeout=1).refusal(url(dripping))
    assert isinstance(error, TransientJobError)
    assert error.job_code == "inventory_unreachable"
    assert time.monotonic() - began < 3


def test_a_job_that_is_to_end_does_not_wait_for_the_answer(gatherer: Gatherer, dripping: str) -> None:
    began = time.monotonic()
    gatherer.keep_going = lambda: time.monotonic() < began + 0.2
    assert gatherer.with_limits(timeout=8).refusal(url(dripping)).job_code == "canceled"
    assert time.monotonic() - began < 6
    wait_for(lambda: "patience" not in [thread.name for thread in threading.enumerate()])
