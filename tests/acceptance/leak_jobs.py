"""What is asked of an installation to make it leak: jobs that use every kind of secret, well and badly."""

from collections.abc import Iterator, Mapping
from typing import Any

from tests.acceptance.leak_world import ACCESS_KEY, REGION, LeakWorld, locked
from tests.acceptance.service import Service
from tests.servers.git_servers import USERNAME, HttpsGitServer
from tests.servers.ssh_hosts import SshHosts

Spec = dict[str, Any]
# Name → status, and code of the error.
ENDS = {
    "every kind": ("successful", None),
    "plan": ("successful", None),
    "from Vault": ("successful", None),
    "inline": ("successful", None),
    "relaunched": ("successful", None),
    "CMDB names hosts by the token": ("successful", None),
    "CMDB refuses": ("error", "inventory_refused"),
    "CMDB makes noise": ("error", "inventory_invalid"),
    "plugin raises": ("error", "inventory_config_invalid"),
    "wrong Galaxy token": ("error", "galaxy_refused"),
    "Galaxy server echoes": ("error", "dependencies_failed"),
    "wrong Vault token": ("error", "vault_login_refused"),
    "Vault echoes": ("error", "vault_denied"),
    "git server echoes": ("error", "source_refused"),
    "git server refuses": ("error", "source_refused"),
}


class Requests:
    """The requests for these servers."""

    def __init__(self, made: LeakWorld, git: HttpsGitServer, callback: str) -> None:
        self._made, self._git, self.hosts = made, git, made.hosts
        self._options = {"verbosity": 5, "callback_url": callback}
        variables = {"ansible_connection": "local", "note": "nothing"}
        self._local = {"type": "inline", "hosts": ["local"], "host_vars": {"local": variables}}

    def all(self) -> dict[str, Spec]:
        """By the names in ENDS, but for what is relaunched."""
        return {**self._good(), **self._of_cmdb(), **self._of_plugin(), **self._of_servers()}

    def _good(self) -> dict[str, Spec]:
        every = self._every_kind()
        return {
            "every kind": every,
            "plan": every | {"options": self._options | {"dry_run": "plan"}},
            "from Vault": self._from_vault(),
            "inline": self._job(credentials=self.inline()),
        }

    def _every_kind(self) -> Spec:
        made, credentials = self._made, {"ssh": "ssh-password", "become_password": "become", "environment": "wild"}
        clouds = [{"type": name, "credential": name} for name in ("aws", "azure", "gcp", "openstack")]
        vaults = {"vault_password": ["vault-one", "vault-two"]}
        headers = {"Authorization": "Bearer ${CMDB_TOKEN}", "X-Again": "${CMDB_TOKEN}"}
        config = {"regions": [REGION], "hostnames": ["tag:Address"]}
        return {
            "source": {
                **self._source("everything", "site.yml"),
                "galaxy_server": made.hub.url,
                "galaxy_credential": "hub",
                "submodules": True,
            },
            "inventory": [
                {
                    "type": "url",
                    "url": made.echo.at("cmdb"),
                    "format": "json",
                    "credential": "cmdb",
                    "headers": headers,
                },
                {"type": "dynamic", "plugin": "amazon.aws.aws_ec2", "config": config, "cloud_credential": "aws"},
            ],
            "credentials": {**credentials, **vaults, "cloud": clouds},
            "extra_vars": {"region": REGION},
            "options": self._options,
        }

    def _from_vault(self) -> Spec:
        names = {"ssh": "bao-token", "become_password": "bao-role"}
        paths = {"ssh": "secret/canary/ssh", "become_password": "secret/canary/become"}
        refs: dict[str, Any] = {
            place: {"type": "hashicorp_vault", "vault_path": paths[place], "vault_credential": name}
            for place, name in names.items()
        }
        two = {"type": "hashicorp_vault", "vault_path": "secret/canary/two", "vault_credential": "bao-role"}
        source = {"repo": self._git.url(self._git.root / "plays"), "git_credential": "git"}
        return {
            "source": {"type": "playbook", "path": "tell.yml", **source},
            "inventory": {"type": "inline", "hosts": [self._made.hosts.hosts[0].address]},
            "credentials": {**refs, "vault_password": [two, "vault"]},
            "options": self._options | {"verbosity": 4},
        }

    def inline(self) -> Spec:
        """Values for one job alone."""
        value = self._made.kinds.inline
        wild = {"kind": "environment", "variables": {"INLINE": f"{value}'\n\"{value}"}}
        become = {"kind": "become_password", "password": value}
        aws = {"kind": "aws", "access_key_id": ACCESS_KEY, "secret_access_key": value}
        return {
            "environment": {"type": "inline", "value": wild},
            "become_password": {"type": "inline", "value": become},
            "cloud": {"type": "aws", "credential": {"type": "inline", "value": aws}},
        }

    def _of_cmdb(self) -> dict[str, Spec]:
        def asked(name: str, credential: str = "cmdb") -> Spec:
            headers = {"Authorization": "Bearer ${CMDB_TOKEN}"}
            about = {"url": self._made.echo.at(name), "credential": credential, "headers": headers}
            return self._job(inventory={"type": "url", **about})

        return {
            "CMDB names hosts by the token": asked("names", "cmdb-plain"),
            "CMDB refuses": asked("refusal"),
            "CMDB makes noise": asked("noise"),
        }

    def _of_plugin(self) -> dict[str, Spec]:
        # The message is cut where the first secret begins.
        inventory = {"type": "dynamic", "plugin": "canary.leaky.shout", "config": {"before": 375}}
        job = self._job(inventory=inventory | {"cloud_credential": "aws"}, credentials={"environment": "wild"})
        wanted = [{"name": "canary.leaky"}]
        about = {"galaxy_server": self._made.hub.url, "galaxy_credential": "hub", "collections": wanted}
        return {"plugin raises": job | {"source": job["source"] | about}}

    def _of_servers(self) -> dict[str, Spec]:
        made = self._made
        wanted = {"collections": [{"name": "canary.none", "version": "9.9.9"}]}
        plain = self._source("plain", "site.yml")
        refused = {"galaxy_server": made.hub.url, "galaxy_credential": "hub-wrong"}
        echoed = {"galaxy_server": made.echo.at("galaxy"), "galaxy_credential": "hub"}
        return {
            "wrong Galaxy token": self._job(source=plain | wanted | refused),
            "Galaxy server echoes": self._job(source=plain | wanted | echoed),
            "wrong Vault token": self._job(credentials=_become_from("bao-wrong")),
            "Vault echoes": self._job(credentials=_become_from("bao-echo")),
            "git server echoes": self._job(
                source={
                    "type": "playbook",
                    "repo": self._git.url(self._git.root / "echo"),
                    "path": "site.yml",
                    "git_credential": "git",
                }
            ),
            "git server refuses": self._job(source=plain | {"git_credential": "git-stranger"}),
        }

    def _job(self, **parts: Any) -> Spec:
        source = self._source("plain", "named.yml")
        return {"source": source, "inventory": self._local, "options": self._options, **parts}

    def _source(self, repo: str, path: str) -> Spec:
        place = {"repo": self._made.git.url(self._made.repos / repo), "git_credential": "git-key"}
        return {"type": "playbook", "path": path, **place}


def _become_from(entrance: str) -> Spec:
    about = {"vault_path": "secret/canary/become", "vault_credential": entrance}
    return {"become_password": {"type": "hashicorp_vault", **about}}


def relaunch(service: Service, job_id: str, credentials: Spec) -> tuple[str, str]:
    """The id of a job that repeats one with values of its own, and how it is refused without them."""
    with service.client as client:
        refusal = client.post(f"/api/v1/jobs/{job_id}/relaunch", json={})
        assert refusal.status_code == 422, refusal.text
        answer = client.post(f"/api/v1/jobs/{job_id}/relaunch", json={"credentials": credentials})
        assert answer.status_code == 202, answer.text
    return answer.json()["id"], refusal.text


def tried(service: Service, made: LeakWorld) -> Iterator[str]:
    """What is said of credentials that are tried on good servers, and on one that echoes."""
    repo, echo = made.git.url(made.repos / "plain"), made.echo
    header = {"Authorization": "Bearer ${CMDB_TOKEN}"}
    tests: list[tuple[str, Spec, bool]] = [
        ("git-key", {"repo": repo}, True),
        ("git-stranger", {"repo": repo}, False),
        ("hub", {"galaxy_server": made.hub.url}, True),
        ("hub-wrong", {"galaxy_server": made.hub.url}, False),
        ("hub", {"galaxy_server": echo.at("refusal")}, False),
        ("bao-token", {"vault_path": "secret/canary/become"}, True),
        ("bao-role", {"vault_path": "secret/canary/two"}, True),
        ("bao-wrong", {}, False),
        ("bao-echo", {"vault_path": "secret/canary/become"}, False),
        ("aws", {}, True),
        ("openstack", {}, False),
        ("cmdb", {"url": echo.at("cmdb"), "headers": header}, True),
        ("cmdb", {"url": echo.at("refusal"), "headers": header}, False),
        ("wild", {}, True),
    ]
    with service.client as client:
        for name, test, ok in tests:
            answer = client.post(f"/api/v1/credentials/{name}/test", json=test)
            assert answer.status_code == 200, answer.text
            assert answer.json()["ok"] is ok, f"{name} {test}: {answer.text}"
            yield answer.text


def replaced(service: Service, made: LeakWorld) -> Iterator[str]:
    """How a new value is answered, and what there is to read about credentials."""
    with service.client as client:
        for value in (made.kinds.replaced, made.kinds.inline):
            fields = {"kind": "environment", "variables": {"REPLACED": value}}
            answer = client.put("/api/v1/credentials/replaced", json=fields)
            assert answer.status_code in (200, 201), answer.text
            yield answer.text
        yield client.get("/api/v1/credentials/replaced").text
        yield client.get("/api/v1/credentials/kinds").text


def refused_jobs(service: Service, made: LeakWorld, job: Spec) -> Iterator[str]:
    """Problems of requests that carry secrets where none belong, or in the wrong form."""
    kinds = made.kinds
    inline = lambda value: {"credentials": {"ssh": {"type": "inline", "value": value}}}  # noqa: E731
    parts: list[Mapping[str, Any]] = [
        {"credentials": {"ssh": kinds.wild_text}},
        {"credentials": {"ssh": {"type": "inline", "value": kinds.inline}}},
        inline({"kind": "ssh_password", "password": [kinds.inline]}),
        inline({"kind": "ssh_key", "private_key": kinds.inline}),
        inline({"kind": "become_password", "password": kinds.inline}),
        inline({"kind": "gcp", "service_account": kinds.google_file[:-20]}),
        inline({"kind": kinds.inline, "password": kinds.inline}),
        {"credentials": {"environment": {"type": "inline", "value": {"kind": "environment", "variables": kinds.wild}}}},
        {"credentials": {"cloud": {"type": "aws", "credential": kinds.aws_text}}},
        {"credentials": {"vault_password": {"type": "hashicorp_vault", "vault_path": kinds.vault_wrong}}},
        {"source": job["source"] | {"git_credential": f"{kinds.inline} "}},
        {"source": job["source"] | {"repo": f"https://robot:{kinds.inline}@git.example.com/x.git"}},
        {"options": {"env": kinds.wild}},
    ]
    with service.client as client:
        for part in parts:
            answer = client.post("/api/v1/jobs", json={**job, **part})
            assert answer.status_code == 422, f"{part}: {answer.text}"
            yield answer.text
        for name, test in (("hub", {"url": made.echo.at("x"), "headers": {"X": f"${{{kinds.cmdb}}}"}}),):
            answer = client.post(f"/api/v1/credentials/{name}/test", json=test)
            assert answer.status_code == 422, answer.text
            yield answer.text


def refused_credentials(service: Service, values: Any, hosts: SshHosts) -> Iterator[str]:
    """Problems of requests that carried secrets."""
    key = locked(hosts.private_key, values.passphrase)
    bodies: list[Any] = [
        {"name": "hosts", "kind": "ssh_key", "private_key": key, "passphrase": values.passphrase},
        {"name": "new", "kind": "ssh_key", "private_key": key, "passphrase": values.become},
        {"name": "new", "kind": "ssh_key", "private_key": hosts.private_key[:-60]},
        {"name": "new", "kind": "vault_password", "password": values.vault, "token": values.token},
        {"name": "new", "kind": "vault_password", "password": [values.vault]},
        {"name": "new", "kind": "galaxy_token", "token": f"{values.token}\n"},
        {"name": "new", "kind": "http", "variables": {"A-B": values.token}},
        {"name": "new", "kind": "environment", "variables": {"A": f"{values.token}\0{values.token}"}},
        {"name": "new", "kind": "http", "variables": {"PATH": values.token}},
        {"name": "new", "kind": "aws", "access_key_id": f"{values.token} ", "secret_access_key": values.token},
        {"name": "new", "kind": "openstack", "auth_url": values.token, "password": values.token},
        {"name": "new", "kind": "hashicorp_vault", "url": f"http://x:{values.token}@[", "token": values.token},
        {"name": "new", "kind": values.vault, "password": values.vault},
        {"name": f"{values.vault} ", "kind": "git", "token": values.token, "username": USERNAME},
        [values.token],
    ]
    with service.client as client:
        for body in bodies:
            answer = client.post("/api/v1/credentials", json=body)
            assert 400 <= answer.status_code < 500, answer.text
            yield answer.text
        yield client.post("/api/v1/credentials", content=b'{"password": "' + values.vault.encode()).text
        yield client.get("/api/v1/jobs", params={"limit": values.token}).text
        yield client.get("/api/v1/keys", headers={"Authorization": f"Bearer x{service.key}"}).text
