"""Secrets of a real Vault: which value is taken, who is let in, and what each refusal says."""

import json
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from pydantic import SecretStr

from ansible_api.credentials import store
from ansible_api.credentials.cipher import Cipher
from ansible_api.credentials.model import Kind
from ansible_api.credentials.refs import HashicorpVaultRef, Wanted
from ansible_api.credentials.resolve import InVault, Loaded, Owner, load
from ansible_api.credentials.schemas import NewCredential
from ansible_api.credentials.secrets import Password, Secrets, SshKey, SshPassword
from ansible_api.credentials.vault import Vault
from ansible_api.db import Database
from ansible_api.egress import Policy
from ansible_api.errors import JobError, TransientJobError
from ansible_api.execution.execute import Stopped
from ansible_api.jobs.state import StopReason
from ansible_api.settings import Settings
from ansible_api.tasks.secrets import open_loaded
from tests.integration.conftest import MASTER_KEY
from tests.servers.openbao import ROOT_TOKEN, OpenBao, openbao
from tests.servers.webhook_sink import Answer, WebhookSink
from tests.waiting import wait_for

TRIAL = Policy(allow_loopback=True)
CIPHER = Cipher.from_setting(SecretStr(MASTER_KEY))
CANARY = "canary-in-vault"
SSH, BECOME, VAULT = (f"/credentials/{name}" for name in ("ssh", "become_password", "vault_password"))
KEY = ed25519.Ed25519PrivateKey.generate()
PLAIN_KEY = KEY.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
LOCKED_KEY = KEY.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, BestAvailableEncryption(b"canary-phrase")).decode()


def opened(
    vault: OpenBao,
    path: str,
    key: str | None = None,
    *,
    place: str = BECOME,
    policy: Policy = TRIAL,
    timeout: float = 5,
    **fields: Any,
) -> Secrets:
    """What a job gets that names this secret; root's token unless other fields say otherwise."""
    ref = HashicorpVaultRef(type="hashicorp_vault", vault_path=path, vault_key=key)
    entrance = {"url": vault.url} | (fields or {"token": ROOT_TOKEN})
    return Loaded({place: InVault(ref, "v")}, {"v": entrance}).open(policy, timeout)


def refused(vault: OpenBao, path: str, key: str | None = None, **more: Any) -> JobError:
    with pytest.raises(JobError) as caught:
        opened(vault, path, key, **more)
    assert "canary" not in repr(caught.value)
    assert ROOT_TOKEN not in repr(caught.value)
    return caught.value


class TestWhatIsTaken:
    @pytest.mark.parametrize(
        ("key", "values"),
        [
            (None, {"password": CANARY}),
            (None, {"become_password": CANARY, "password": "other"}),
            (None, {"whatever": CANARY}),
            ("second", {"password": "other", "second": CANARY}),
        ],
    )
    def test_the_value_that_is_named_or_meant(self, vault: OpenBao, key: str | None, values: Mapping[str, str]):
        vault.put("secret", "jobs/become", values)
        found = opened(vault, "secret/jobs/become", key)
        assert found.become_password == SecretStr(CANARY)
        assert set(found.values()) == {CANARY, ROOT_TOKEN}, "the token is to be masked, too"
        assert "canary" not in repr(found)

    def test_a_private_key_comes_with_what_lies_beside_it(self, vault: OpenBao):
        values = {"private_key": LOCKED_KEY, "passphrase": "canary-phrase", "username": "deploy", "known_hosts": "h k"}
        vault.put("secret", "jobs/key", values | {"unrelated": "x"})
        for key in (None, "private_key"):
            found = opened(vault, "secret/jobs/key", key, place=SSH)
            assert isinstance(found.ssh, SshKey)
            assert (found.ssh.username, found.ssh.known_hosts) == ("deploy", "h k")
            assert "canary-phrase" in set(found.values())
        vault.put("secret", "jobs/plain-key", {"anything": PLAIN_KEY, "username": "deploy"})
        assert isinstance(opened(vault, "secret/jobs/plain-key", place=SSH).ssh, SshKey)

    def test_a_password_for_ssh_comes_with_its_user(self, vault: OpenBao):
        vault.put("secret", "jobs/ssh", {"password": CANARY, "username": "deploy", "passphrase": "unused"})
        assert opened(vault, "secret/jobs/ssh", place=SSH).ssh == SshPassword(SecretStr(CANARY), "deploy")

    def test_a_vault_password_brings_its_vault_id(self, vault: OpenBao):
        vault.put("secret", "jobs/prod", {"password": CANARY, "vault_id": "prod"})
        assert opened(vault, "secret/jobs/prod", place=f"{VAULT}/0").vault_passwords == [
            Password(SecretStr(CANARY), "prod")
        ]

    def test_both_versions_of_key_value_stores_at_mounts_of_any_depth(self, vault: OpenBao):
        vault.mount("team/one/kv", 1)
        vault.mount("team/two/kv", 2)
        vault.call("POST", "team/one/kv/a/b", {"password": CANARY})
        vault.put("team/two/kv", "a/b", {"password": CANARY})
        for path in ("team/one/kv/a/b", "team/two/kv/a/b"):
            assert opened(vault, path).become_password == SecretStr(CANARY)

    def test_a_version_that_the_credential_says_is_not_asked_for(self, vault: OpenBao):
        vault.mount("old", 1)
        vault.call("POST", "old/it", {"password": CANARY})
        vault.policy("blind", "old/it", "secret/data/blind")
        vault.put("secret", "blind", {"password": CANARY})
        token = vault.token(["blind"])
        for path, version in (("old/it", 1), ("secret/blind", 2)):
            assert opened(vault, path, token=token, kv_version=version).become_password == SecretStr(CANARY)
        assert refused(vault, "old/it", token=token, kv_version=2).job_code == "vault_denied"

    def test_odd_characters_of_a_path_arrive(self, vault: OpenBao):
        vault.put("secret", "a%20b/x@y.z+1", {"password": CANARY})
        assert opened(vault, "secret/a b/x@y.z+1").become_password == SecretStr(CANARY)


class TestWhoIsLetIn:
    def test_an_approle_logs_in_once_and_its_token_is_ended(self, vault: OpenBao):
        vault.policy("jobs", "secret/data/jobs/*")
        role, secret = vault.approle("robots", ["jobs"])
        fields = {"url": vault.url, "role_id": role, "secret_id": secret, "approle_mount": "robots"}
        for name in ("one", "two"):
            vault.put("secret", f"jobs/{name}", {"password": f"{CANARY}-{name}"})
        refs = {
            f"{VAULT}/{number}": InVault(
                HashicorpVaultRef(type="hashicorp_vault", vault_path=f"secret/jobs/{name}"), "v"
            )
            for number, name in enumerate(("one", "two"))
        }
        before = set(accessors(vault))
        found = Loaded(refs, {"v": fields}).open(TRIAL, 5)
        assert [p.password.get_secret_value() for p in found.vault_passwords] == [f"{CANARY}-one", f"{CANARY}-two"]
        [token] = set(found.values()) - {role, secret, f"{CANARY}-one", f"{CANARY}-two"}
        assert token.startswith("s.")
        assert set(accessors(vault)) == before
        assert refused(vault, "secret/jobs/one", token=token).job_code == "vault_login_refused"

    @pytest.mark.parametrize(
        "wrong", [{"secret_id": "canary-wrong"}, {"role_id": "canary-wrong"}, {"approle_mount": "nowhere"}]
    )
    def test_an_approle_that_is_not_known_is_refused(self, vault: OpenBao, wrong: Mapping[str, str]):
        role, secret = vault.approle(f"wrong-{next(iter(wrong))}", [])
        fields = {"role_id": role, "secret_id": secret, "approle_mount": f"wrong-{next(iter(wrong))}"}
        error = refused(vault, "secret/jobs/one", **(fields | wrong))
        assert (error.job_code, error.retryable) == ("vault_login_refused", False)

    def test_a_namespace_is_entered(self, vault: OpenBao):
        vault.call("POST", "sys/namespaces/ops")
        vault.mount("kv", 2, namespace="ops")
        vault.put("kv", "it", {"password": CANARY}, namespace="ops")
        fields = {"token": ROOT_TOKEN}
        assert opened(vault, "kv/it", **fields, namespace="ops").become_password == SecretStr(CANARY)
        assert refused(vault, "kv/it", **fields).job_code == "vault_denied"
        assert refused(vault, "kv/it", **fields, namespace="none").job_code == "vault_path_not_found"

    @pytest.mark.parametrize("token", ["canary-token", "s.canary"])
    def test_a_wrong_token_is_refused(self, vault: OpenBao, token: str):
        vault.put("secret", "jobs/one", {"password": CANARY})
        error = refused(vault, "secret/jobs/one", token=token)
        assert (error.job_code, error.retryable) == ("vault_login_refused", False)

    def test_an_expired_token_is_refused_with_advice(self, vault: OpenBao):
        vault.policy("jobs", "secret/data/jobs/*")
        token = vault.token(["jobs"], ttl="1s")
        vault.put("secret", "jobs/one", {"password": CANARY})

        def expired() -> JobError | None:
            try:
                opened(vault, "secret/jobs/one", token=token)
            except JobError as error:
                return error
            return None

        error = wait_for(expired, timeout=10)
        assert error is not None
        assert (error.job_code, error.retryable) == ("vault_login_refused", False)
        assert "expired" in error.detail

    def test_the_workers_own_token_and_proxies_are_not_used(self, vault: OpenBao, monkeypatch: pytest.MonkeyPatch):
        for name, value in (
            ("VAULT_TOKEN", ROOT_TOKEN),
            ("VAULT_ADDR", vault.url),
            ("http_proxy", "http://127.0.0.1:1"),
            ("all_proxy", "http://127.0.0.1:1"),
        ):
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("no_proxy", raising=False)
        vault.put("secret", "jobs/one", {"password": CANARY})
        assert opened(vault, "secret/jobs/one").become_password == SecretStr(CANARY)
        assert refused(vault, "secret/jobs/one", role_id="canary").job_code == "vault_login_refused"
        with pytest.raises(JobError, match="refused the AppRole"):
            Vault({"url": vault.url, "role_id": "x"}, TRIAL, 5).check()


def accessors(vault: OpenBao) -> list[str]:
    keys: list[str] = vault.call("LIST", "auth/token/accessors")["data"]["keys"]
    return keys


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("path", "words"),
        [
            ("secret/none", "correct vault_path"),
            ("secret/data/jobs/one", "leave data/ out"),
            ("nothing/there", "no such mount"),
            ("secret/deleted", "deleted"),
        ],
    )
    def test_a_path_that_holds_nothing(self, vault: OpenBao, path: str, words: str):
        vault.put("secret", "deleted", {"password": CANARY})
        vault.call("DELETE", "secret/data/deleted")
        error = refused(vault, path)
        assert error.job_code in {"vault_path_not_found", "vault_denied"}
        assert words in error.detail
        assert not error.retryable

    def test_a_path_of_which_the_mount_is_all(self, vault: OpenBao):
        vault.mount("whole/mount", 2)
        assert refused(vault, "whole/mount").job_code == "vault_path_not_found"

    def test_a_path_that_a_policy_denies(self, vault: OpenBao):
        vault.policy("narrow", "secret/data/narrow/*")
        vault.put("secret", "wide/it", {"password": CANARY})
        error = refused(vault, "secret/wide/it", token=vault.token(["narrow"]))
        assert (error.job_code, error.retryable) == ("vault_denied", False)
        assert "policies" in error.detail

    def test_what_is_no_key_value_store(self, vault: OpenBao):
        assert refused(vault, "cubbyhole/none").job_code == "vault_path_not_found"
        assert refused(vault, "sys/wrapping/lookup").job_code == "vault_answer_invalid"

    def test_a_key_that_is_missing_or_not_said(self, vault: OpenBao):
        vault.put("secret", "jobs/two", {"a": CANARY, "b": CANARY})
        for key in ("c", None):
            error = refused(vault, "secret/jobs/two", key)
            assert error.job_code == "vault_key_not_found"
            assert "'a', 'b'" in error.detail
        vault.put("secret", "jobs/empty", {})
        assert "no values at all" in refused(vault, "secret/jobs/empty").detail

    @pytest.mark.parametrize(
        ("place", "values"),
        [
            (SSH, {"private_key": "canary is no key"}),
            (SSH, {"private_key": LOCKED_KEY}),
            (SSH, {"private_key": LOCKED_KEY, "passphrase": "canary-wrong"}),
            (SSH, {"id_ed25519": "canary is no key"}),
            (SSH, {"password": CANARY, "username": "-oProxyCommand=canary"}),
            (BECOME, {"password": ""}),
            (BECOME, {"password": {"canary": 1}}),
            (BECOME, {"password": ["canary"]}),
            (VAULT, {"password": CANARY, "vault_id": "@canary"}),
        ],
    )
    def test_a_value_that_does_not_fit(self, vault: OpenBao, place: str, values: Mapping[str, Any]):
        vault.put("secret", "jobs/misfit", values)
        error = refused(vault, "secret/jobs/misfit", place=place)
        assert (error.job_code, error.retryable) == ("vault_value_invalid", False)

    def test_an_address_that_may_not_be_reached(self, vault: OpenBao):
        error = refused(vault, "secret/jobs/one", policy=Policy())
        assert (error.job_code, error.retryable) == ("egress_denied", False)


class TestTrouble:
    def test_a_sealed_server_is_worth_another_attempt(self, tmp_path: Path):
        with openbao(tmp_path) as own:
            own.put("secret", "jobs/one", {"password": CANARY})
            assert opened(own, "secret/jobs/one")
            own.call("PUT", "sys/seal")
            error = refused(own, "secret/jobs/one")
            assert isinstance(error, TransientJobError)
            assert error.job_code == "vault_unreachable"
            assert "sealed" in error.detail
            own.process.stop()
            assert isinstance(refused(own, "secret/jobs/one"), TransientJobError)

    def test_a_hung_server_takes_only_its_time(self, tmp_path: Path):
        with openbao(tmp_path) as own:
            own.process.pause()
            began = time.monotonic()
            error = refused(own, "secret/jobs/one", timeout=0.3)
            assert isinstance(error, TransientJobError)
            assert time.monotonic() - began < 3

    def test_a_job_that_is_to_stop_does_not_wait_for_vault(self, tmp_path: Path, settings: Settings):
        with openbao(tmp_path) as own:
            own.process.pause()
            ref = HashicorpVaultRef(type="hashicorp_vault", vault_path="secret/it")
            loaded = Loaded({BECOME: InVault(ref, "v")}, {"v": {"url": own.url, "token": "t"}})
            patient = settings.model_copy(update={"vault_timeout": 30.0, "loopback_egress": True})
            began = time.monotonic()
            with pytest.raises(Stopped) as caught:
                open_loaded(loaded, patient, lambda: StopReason.CANCELED)
            assert caught.value.reason is StopReason.CANCELED
            assert time.monotonic() - began < 5
            own.process.kill()
            wait_for(lambda: not any(thread.name == "vault" for thread in threading.enumerate()))

    def test_the_credentials_authority_is_the_one_that_counts(self, tmp_path: Path):
        with openbao(tmp_path, tls=True) as own:
            pem = next(tmp_path.glob("*ca*.pem")).read_text()
            assert refused(own, "secret/none", token=ROOT_TOKEN, ca_certificate=pem).job_code == "vault_path_not_found"
            error = refused(own, "secret/none", token=ROOT_TOKEN)
            assert error.job_code == "vault_unreachable"
            assert "TLS" in error.detail

    @pytest.mark.parametrize(
        ("answer", "code", "again"),
        [
            (Answer(302, {"Location": "http://127.0.0.1:1/"}), "vault_answer_invalid", False),
            (Answer(307, {"Location": "http://169.254.169.254/"}), "vault_answer_invalid", False),
            (Answer(200, {}, b"<html>canary</html>"), "vault_answer_invalid", False),
            (Answer(200, {"Content-Type": "application/json"}, b'{"data": []}'), "vault_answer_invalid", False),
            (Answer(200, {"Content-Type": "application/json"}, b"[" * 100_000), "vault_answer_invalid", False),
            (Answer(403, {"Content-Type": "application/json"}, b'{"errors": "canary"}'), "vault_denied", False),
            (Answer(403, {"Content-Type": "application/json"}, b'["canary"]'), "vault_answer_invalid", False),
            (Answer(418, {}, b"canary"), "vault_answer_invalid", False),
            (Answer(429, {}, b""), "vault_unreachable", True),
            (Answer(500, {}, b"canary"), "vault_unreachable", True),
            (Answer(200, {}, b"x" * 3_000_000), "vault_unreachable", True),
        ],
    )
    def test_what_a_server_may_answer_instead(self, webhook_sink: WebhookSink, answer: Answer, code: str, again: bool):
        webhook_sink.answer(answer)
        url = webhook_sink.url.removesuffix("/hook")
        error = refused(OpenBao(url, None), "secret/jobs/one", token="canary-token")  # type: ignore[arg-type]
        assert (error.job_code, error.retryable) == (code, again)
        assert len(webhook_sink.requests) == 1


# From rows


def keep(db: Database, name: str, **fields: str) -> None:
    request = NewCredential.model_validate_json(json.dumps({"name": name, **fields}))
    db.write(store.create, CIPHER, "red", request)


def want(db: Database, **ref: str) -> Loaded:
    named = HashicorpVaultRef.model_validate({"type": "hashicorp_vault", "vault_path": "secret/jobs/row", **ref})
    return db.read(load, CIPHER, Owner("red", "job-1"), [Wanted(BECOME, named, frozenset({Kind.BECOME_PASSWORD}))])


def test_a_reference_without_credential_takes_the_teams_only_one(db: Database, vault: OpenBao) -> None:
    vault.put("secret", "jobs/row", {"password": CANARY})
    with pytest.raises(JobError, match="create it and submit again"):
        want(db)
    keep(db, "main", kind="hashicorp_vault", url=vault.url, token=ROOT_TOKEN)
    loaded = want(db)
    assert ROOT_TOKEN not in repr(loaded)
    assert loaded.open(TRIAL, 5).become_password == SecretStr(CANARY)
    keep(db, "other", kind="hashicorp_vault", url=vault.url, token="wrong")
    with pytest.raises(JobError, match="name one in vault_credential"):
        want(db)
    assert want(db, vault_credential="main").open(TRIAL, 5).become_password == SecretStr(CANARY)


def test_a_credential_that_became_another_kind_ends_the_job(db: Database) -> None:
    keep(db, "main", kind="become_password", password=CANARY)
    with pytest.raises(JobError) as caught:
        want(db, vault_credential="main")
    assert caught.value.job_code == "credential_misfit"
    assert "become_password" in caught.value.detail
