"""Reads secrets of HashiCorp Vault or OpenBao with hvac, whose every request passes the egress guard."""

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Self

import hvac
import requests
from hvac.exceptions import Forbidden, InvalidPath, Unauthorized, VaultError
from hvac.utils import format_url
from pydantic import SecretStr
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict

from ansible_api.egress import Deadline, EgressDenied, EgressFailed, Policy, exchange
from ansible_api.errors import AnsibleApiError, JobError, TransientJobError

ANSWER_LIMIT = 2 * 1024 * 1024  # bytes; a secret of Vault's own storage has at most 1 MiB
NOT_VAULT = "what answers at the credential's url does not speak as Vault does: correct the url"


class Vault:
    """One entrance to a Vault, as a credential of kind hashicorp_vault says; logs in at first use, and once.

    Every method raises JobError vault_login_refused, vault_denied, vault_path_not_found, vault_answer_invalid or
    egress_denied, or TransientJobError vault_unreachable; each takes at most `timeout` seconds.
    """

    def __init__(self, fields: Mapping[str, Any], policy: Policy, timeout: float) -> None:
        self._fields = fields
        self._timeout = timeout
        self._guard = _Guard(policy, fields.get("ca_certificate"))
        self._mounts: dict[str, int] = {}
        self._logged_in = "token" in fields
        session = requests.Session()
        session.trust_env = False  # no proxies and no .netrc of the worker
        session.headers.clear()
        session.mount("https://", self._guard)
        session.mount("http://", self._guard)
        self._client = hvac.Client(
            url=fields["url"],
            token=fields.get("token", ""),  # None would have hvac look for the worker's own token
            session=session,
            allow_redirects=False,
            namespace=fields.get("namespace"),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        if self._logged_in and "token" not in self._fields:
            with suppress(AnsibleApiError), self._asking("its own token"):
                self._client.auth.token.revoke_self()

    def secrets(self) -> Iterator[SecretStr]:
        """What lets in here, for masking."""
        for name in ("token", "role_id", "secret_id"):
            if name in self._fields:
                yield SecretStr(self._fields[name])
        if self._client.token:
            yield SecretStr(self._client.token)

    def check(self) -> None:
        """Log in, and have Vault say that the token is good."""
        with self._asking("its own token"):
            self._login()
            self._client.auth.token.lookup_self()

    def read(self, path: str) -> Mapping[str, Any]:
        """The values of the secret at mount and path, by name."""
        with self._asking(path):
            self._login()
            mount, version = self._mount(path)
            inside = path.removeprefix(mount).strip("/")
            if not inside or inside == path:
                raise JobError("vault_path_not_found", f"Vault: {path} names no secret of a mount: give mount and path")
            kv = self._client.secrets.kv
            if version == 1:
                return _part(kv.v1.read_secret(inside, mount_point=mount), "data")
            found = kv.v2.read_secret_version(inside, mount_point=mount, raise_on_deleted_version=True)
            return _part(found, "data", "data")

    def _login(self) -> None:
        if self._logged_in:
            return
        fields = self._fields
        try:
            self._client.auth.approle.login(
                fields["role_id"], fields.get("secret_id"), mount_point=fields.get("approle_mount", "approle")
            )
        except VaultError:
            detail = "Vault refused the AppRole: check role_id, secret_id, approle_mount and namespace"
            raise JobError("vault_login_refused", f"{detail} of the credential") from None
        self._logged_in = True

    def _mount(self, path: str) -> tuple[str, int]:
        """Mount and version of the key-value store that a path lies in, asked for as `vault kv get` does it."""
        first = path.partition("/")[0]
        if version := self._fields.get("kv_version"):
            return first, version
        for mount, version in self._mounts.items():
            if path.startswith(f"{mount}/"):
                return mount, version
        try:
            answer = self._client.adapter.get(format_url("/v1/sys/internal/ui/mounts/{path}", path=path))
        except InvalidPath:
            return first, 1  # a Vault that has no such question has no version 2 either
        data = _part(answer, "data")
        mount, options = str(data.get("path", "")).strip("/"), data.get("options")
        version = 2 if isinstance(options, dict) and options.get("version") == "2" else 1
        self._mounts[mount] = version
        return mount, version

    @contextmanager
    def _asking(self, what: str) -> Iterator[None]:
        """Time for one secret; what goes wrong in it becomes a JobError that quotes neither request nor answer."""
        self._guard.deadline = Deadline(self._timeout)
        try:
            yield
        except EgressDenied as error:
            raise JobError("egress_denied", f"Vault may not be asked: {error.detail}") from None
        except EgressFailed as error:
            raise TransientJobError("vault_unreachable", f"Vault did not answer: {error.detail}") from None
        except VaultError as error:
            raise _refusal(error, what) from None
        except (requests.RequestException, AttributeError, KeyError, TypeError, ValueError, RecursionError):
            raise JobError("vault_answer_invalid", NOT_VAULT) from None


class _Guard(BaseAdapter):
    """What requests sends through: the egress guard, and no server that is not ready counts as one that answers."""

    def __init__(self, policy: Policy, ca_certificate: str | None) -> None:
        super().__init__()
        self.deadline = Deadline(0)
        self._policy = policy
        self._ssl_context = ssl.create_default_context(cadata=ca_certificate) if ca_certificate else None

    def send(self, request: requests.PreparedRequest, *_args: Any, **_kwargs: Any) -> requests.Response:
        """See requests; its time-outs, certificates and proxies are not used."""
        body = request.body.encode() if isinstance(request.body, str) else request.body
        answer = exchange(
            str(request.method),
            str(request.url),
            body if isinstance(body, bytes) else None,
            {name: value if isinstance(value, str) else value.decode() for name, value in request.headers.items()},
            self.deadline.left(),
            self._policy,
            limit=ANSWER_LIMIT,
            ssl_context=self._ssl_context,
        )
        _check_status(answer.status)
        response = requests.Response()
        response.status_code = answer.status
        response.headers = CaseInsensitiveDict(answer.headers)
        response.url = str(request.url)
        response.request = request
        response._content = answer.body
        return response

    def close(self) -> None:
        """See requests: no connection outlives its answer."""


def _check_status(status: int) -> None:
    if status == 503:
        raise TransientJobError("vault_unreachable", "Vault is sealed or not ready (503): unseal it")
    if status == 429 or status >= 500:
        raise TransientJobError("vault_unreachable", f"Vault answered {status}: another attempt may succeed")
    if 300 <= status < 400:
        detail = f"Vault answered {status}, and redirects are not followed: give the address of its active node"
        raise JobError("vault_answer_invalid", detail)


def _refusal(error: VaultError, what: str) -> JobError:
    if isinstance(error, InvalidPath):
        hint = "leave data/ out of vault_path, or " if "/data/" in what else ""
        detail = f"Vault has no secret {what}, or it was deleted: {hint}correct vault_path or the namespace"
        return JobError("vault_path_not_found", detail)
    if not isinstance(error, (Forbidden, Unauthorized)):
        detail = f"Vault cannot read {what}: check that it lies in a key-value store, and the credential's kv_version"
        return JobError("vault_answer_invalid", detail)
    if _is_about_token(error):
        return JobError("vault_login_refused", "Vault refused the token: it is wrong or has expired; store a new one")
    detail = f"Vault denies {what}: check vault_path (there may be no such mount) and the token's policies"
    return JobError("vault_denied", detail)


def _is_about_token(error: VaultError) -> bool:
    """Whether it is the token that is not known; a policy's refusal is a list of errors in one text."""
    said = error.errors if isinstance(error.errors, list) else []
    return said == ["permission denied"] or any("invalid token" in str(text) for text in said)


def _part(answer: Any, *names: str) -> Mapping[str, Any]:
    """An object inside an answer; ValueError when the answer has another form."""
    for name in names:
        answer = answer.get(name) if isinstance(answer, dict) else None
    if not isinstance(answer, dict):
        raise ValueError("another form")
    return answer
