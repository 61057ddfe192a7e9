"""Sorts what `ansible-inventory` says when it fails: whose fault, whether to retry, and one sentence for the caller."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ansible_api.errors import JobError, TransientJobError
from ansible_api.execution.inventory_files import Source

LONGEST = 400  # characters of Ansible's own sentence


@dataclass(frozen=True, slots=True)
class _Trouble:
    """One row of the table: what Ansible's sentence looks like, and what the caller can do."""

    code: str
    remedy: str
    pattern: re.Pattern[str]
    transient: bool = False


def _trouble(code: str, remedy: str, *patterns: str, transient: bool = False) -> _Trouble:
    return _Trouble(code, remedy, re.compile("|".join(patterns), re.IGNORECASE), transient)


# The first row that fits decides. Sentences of ansible-core 2.19, botocore, urllib3, msrest, google-auth, keystoneauth.
TABLE = (
    _trouble(
        "inventory_plugin_not_found",
        "name an installed plugin, or its collection in source.collections",
        r"failed to load inventory plugin|no module named 'ansible_collections",
        r"inventory plugin has been removed",
        r"unknown plugin '",
    ),
    _trouble(
        "inventory_library_missing",
        "the worker lacks what the plugin needs: ask its operator to install it",
        r"failed to import the required python library",
        r"no module named",
        r"(python )?(librar|module|package)\w* .*(is|are) (required|missing|not installed)",
        r"could not be imported|missing required lib",
    ),
    _trouble(
        "inventory_not_decrypted",
        "give its password in credentials.vault_password",
        r"no vault secrets found",
        r"decryption failed",
        r"vault secret.* (not found|found that could decrypt)",
    ),
    _trouble(
        "inventory_config_invalid",
        "correct config",
        r"unknown option",
        r"has an invalid value",
        r"required (option|config|setting|parameter)|missing required|required .* not (provided|set)",
        r"value of .* must be one of|mutually exclusive|incorrect plugin name",
        r"could not find .* in the options|invalid (option|parameter|region|filter)",
    ),
    _trouble(
        "inventory_refused",
        "correct cloud_credential",
        r"unable to locate credentials|no credentials|could not be found in the environment",
        r"authfailure|unauthorizedoperation|invalidclienttokenid|signaturedoesnotmatch|accessdenied|expiredtoken",
        r"invalid_client|invalid_grant|aadsts\d|not authorized|unauthori[sz]ed|forbidden|permission denied",
        r"authentication (failed|failure|required)|requires authentication|http error 40[13]|\b40[13] client error",
    ),
    _trouble(
        "inventory_unreachable",
        "tried again later",
        r"could not connect|failed to connect|cannot connect|connection (refused|reset|aborted|timed)",
        r"timed? ?out|timeout|max retries|name or service not known|temporary failure|no route to host",
        r"throttl|requestlimitexceeded|too ?many ?requests|service ?unavailable|bad gateway|\b50[0234]\b",
        transient=True,
    ),
)
# Also an exception without a text, which is what Python's of that kind is.
_MEMORY = re.compile(r"^MemoryError|Cannot allocate memory|plugin: Unexpected AnsibleError error", re.MULTILINE)
_SAID = re.compile(r"Failed to parse inventory with '([^']+)' plugin: (.+)")
_NOT_MINE = re.compile(r"no root 'plugin' key|Plugin configuration YAML file, not YAML inventory")
_SOURCE = re.compile(r"Completely failed to parse inventory source (\S+)")
_ERROR = re.compile(r"^\[ERROR\]: (.+)", re.MULTILINE)
_LOADING = re.compile(r"^\[WARNING\]: ((?:Error loading plugin|Failed to load inventory plugin).+)", re.MULTILINE)
_LOGIN_IN_URL = re.compile(r"//[^/\s@]+@")
_DIRECTORIES = re.compile(r"(?<![\w:/.])/(?:[^\s/'\",:;]+/)+")


def listing_failed(stderr: str, sources: Sequence[Source], refused: Mapping[int, str]) -> JobError:
    """The error for what ansible-inventory printed about these sources.

    `refused` is why the proxy let no request through, by its HTTP status: plugins seldom tell.
    """
    failed = _failed(stderr, sources)
    where = f"{failed.pointer.removeprefix('/')}: " if failed else ""
    if 403 in refused:
        return JobError("inventory_denied", f"{where}{refused[403]}: correct the address in config or credential")
    for reason in refused.values():
        return TransientJobError("inventory_unreachable", f"{where}{reason}")
    if _MEMORY.search(stderr):
        return JobError("inventory_too_large", f"{where}it takes more memory than it may: narrow what it gives")
    said = _sentence(stderr)
    for row in TABLE:
        if row.pattern.search(said):
            kind = TransientJobError if row.transient else JobError
            return kind(row.code, f"{where}{clean(said)}: {row.remedy}")
    if failed and failed.is_config:
        return JobError("inventory_config_invalid", f"{where}{clean(said)}: correct config")
    return JobError("inventory_invalid", f"{where}{clean(said)}: correct the inventory")


def clean(text: str) -> str:
    """One line, bounded, without this machine's directories and without logins in URLs."""
    line = " ".join(_DIRECTORIES.sub("", _LOGIN_IN_URL.sub("//", text)).split())
    return (line if len(line) <= LONGEST else line[:LONGEST] + "…").rstrip(".:")


def _sentence(stderr: str) -> str:
    """What the plugin said whose file it was: all readers are tried on everything."""
    said: list[tuple[str, str]] = [pair for pair in _SAID.findall(stderr) if not _NOT_MINE.search(pair[1])]
    own = [text for plugin, text in said if plugin not in ("ini", "script")]
    if own or said:
        return own[0] if own else said[0][1]
    found = _LOADING.search(stderr) or _ERROR.search(stderr)
    return found[1] if found else "ansible-inventory failed without a word"


def _failed(stderr: str, sources: Sequence[Source]) -> Source | None:
    found = _SOURCE.search(stderr)
    path = Path(found[1]) if found else None
    failed = [source for source in sources if path is not None and path.is_relative_to(source.path)]
    return failed[0] if failed else sources[0] if len(sources) == 1 else None
