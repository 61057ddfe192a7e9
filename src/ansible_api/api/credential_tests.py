"""Trying a stored credential on what it opens: the request, and who is asked for each kind."""

import os
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import Field

from ansible_api.api.pointers import pointer
from ansible_api.credentials.fields import Part
from ansible_api.credentials.headers import HeaderName, HeaderValue, UnknownVariable, filled
from ansible_api.credentials.model import Kind
from ansible_api.credentials.probe_clouds import identity
from ansible_api.credentials.probe_galaxy import galaxy
from ansible_api.credentials.probes import Question, Reach, Verdict, ask
from ansible_api.credentials.refs import VaultPath
from ansible_api.credentials.resolve import opened
from ansible_api.credentials.secrets import GitLogin, SshKey, Variables
from ansible_api.credentials.text import WebUrl
from ansible_api.credentials.vault import Vault
from ansible_api.egress import Deadline, EgressDenied, EgressFailed, Policy, check_url, checked_addresses
from ansible_api.errors import FieldError, InvalidRequest, JobError
from ansible_api.execution.preparation import ExecutionConfig
from ansible_api.execution.source import ls_remote
from ansible_api.jobs.service import repo_errors
from ansible_api.jobs.text import RepoUrl
from ansible_api.settings import Settings

TIMEOUT = 15.0  # seconds for each question
TMPFS = Path("/dev/shm")  # noqa: S108 - in a directory of our own
TO_TRY: Mapping[Kind, frozenset[str]] = {
    Kind.GIT: frozenset({"repo"}),
    Kind.SSH_KEY: frozenset({"repo"}),
    Kind.HASHICORP_VAULT: frozenset({"vault_path"}),
    Kind.GALAXY_TOKEN: frozenset({"galaxy_server"}),
    Kind.HTTP: frozenset({"url", "headers"}),
}


class CredentialTest(Part):
    """What to try a credential on; which of these makes sense depends on its kind."""

    repo: RepoUrl | None = Field(None, description="git, ssh_key: a repository whose refs are listed")
    vault_path: VaultPath | None = Field(None, description="hashicorp_vault: a secret to read; it is not shown")
    galaxy_server: WebUrl | None = Field(None, description="galaxy_token: the installation's default when absent")
    url: WebUrl | None = Field(None, description="http: what to get")
    headers: dict[HeaderName, HeaderValue] = Field(
        default_factory=dict, max_length=50, description="http: ${NAME} stands for a variable of the credential"
    )


def try_out(test: CredentialTest, kind: Kind, fields: Mapping[str, Any], settings: Settings) -> Verdict:
    """Whether a credential of these fields works; InvalidRequest when it cannot be tried so. Blocks for a while."""
    reach = Reach(Policy.of(settings), TIMEOUT)
    _check(test, kind, settings, reach)
    match kind:
        case Kind.GIT | Kind.SSH_KEY:
            return _git(test.repo, kind, fields, settings)
        case Kind.HASHICORP_VAULT:
            return _vault(test.vault_path, fields, reach)
        case Kind.GALAXY_TOKEN:
            return galaxy(fields["token"], test.galaxy_server or settings.galaxy_server, reach)
        case Kind.AWS | Kind.AZURE | Kind.GCP | Kind.OPENSTACK:
            return identity(kind, fields, reach)
        case Kind.HTTP:
            return _http(test, fields, reach)
        case Kind.SSH_PASSWORD | Kind.BECOME_PASSWORD | Kind.VAULT_PASSWORD | Kind.ENVIRONMENT:
            return Verdict(True, f"it opens; there is no server to ask about a credential of kind {kind}")


def _check(test: CredentialTest, kind: Kind, settings: Settings, reach: Reach) -> None:
    strange = sorted(test.model_fields_set - TO_TRY.get(kind, frozenset()))
    errors = [
        FieldError(f"/{name}", f"does not apply to a credential of kind {kind}: leave it out") for name in strange
    ]
    if test.headers and test.url is None:
        errors.append(FieldError("/url", "required with headers, but absent"))
    if test.repo is not None:
        errors += repo_errors([("/repo", test.repo)], settings)
    if errors:
        raise InvalidRequest(errors=errors)
    for name in ("url", "galaxy_server"):
        if (url := getattr(test, name)) is not None:
            _check_reachable(f"/{name}", url, reach)


def _check_reachable(place: str, url: str, reach: Reach) -> None:
    """Refuse an address of the request that may not be reached; what is merely away is told by the question."""
    try:
        parsed = check_url(url, reach.policy)
        port = parsed.port or (443 if parsed.scheme == "https" else 80)
        checked_addresses(parsed.raw_host.decode("ascii"), port, reach.policy, Deadline(reach.timeout))
    except EgressDenied as error:
        raise InvalidRequest(errors=[FieldError(place, error.detail)]) from None
    except EgressFailed:
        return


def _git(repo: str | None, kind: Kind, fields: Mapping[str, Any], settings: Settings) -> Verdict:
    login = opened(kind, fields)
    if repo is None:
        return Verdict(True, "it opens; give repo to have a git server asked")
    assert isinstance(login, SshKey | GitLogin)  # noqa: S101 - what these kinds open as
    limits = ExecutionConfig.from_settings(settings).git
    limits = replace(limits, timeout=min(limits.timeout, TIMEOUT))
    with tempfile.TemporaryDirectory(dir=TMPFS if os.access(TMPFS, os.W_OK | os.X_OK) else None) as name:
        private = Path(name)
        try:
            ls_remote(repo, login, cache=private, secrets_dir=private, limits=limits, keep_going=lambda: True)
        except JobError as error:
            return _of_git(error)
    return Verdict(True, "the git server listed the refs of the repository")


def _of_git(error: JobError) -> Verdict:
    match error.job_code:
        case "source_ref_not_found":
            return Verdict(True, "the git server let it in; the repository is empty")
        case "source_denied":
            raise InvalidRequest(errors=[FieldError("/repo", error.detail)])
        case _:
            return Verdict(False, error.detail)


def _vault(path: str | None, fields: Mapping[str, Any], reach: Reach) -> Verdict:
    try:
        with Vault(fields, reach.policy, reach.timeout) as vault:
            vault.check()
            if path is not None:
                vault.read(path)
    except JobError as error:
        return Verdict(False, error.detail)
    return Verdict(True, "Vault let it in" + (f", and {path} can be read" if path is not None else ""))


def _http(test: CredentialTest, fields: Mapping[str, Any], reach: Reach) -> Verdict:
    values = opened(Kind.HTTP, fields)
    assert isinstance(values, Variables)  # noqa: S101 - what this kind opens as
    if test.url is None:
        return Verdict(True, "it opens; give url and headers to have a server asked")
    try:
        headers = filled(test.headers, values.values)
    except UnknownVariable as error:
        raise InvalidRequest(errors=[FieldError(pointer(("headers", error.header)), error.detail)]) from None
    return ask(Question("the server", "GET", test.url, headers), reach)
