"""Requests that the API must refuse, each with the answer that it must get; CANARY stands where a secret could."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

CANARY = "canary-7f3a-bad-input"
GOOD: Mapping[str, Any] = {
    "source": {"type": "playbook", "repo": "https://git.example.com/playbooks.git", "path": "site.yml"},
    "inventory": {"type": "inline", "hosts": ["web1"]},
    "extra_vars": {"password": CANARY},
}


@dataclass(frozen=True)
class Refused:
    """A body, and the status, code, pointer and essential words of the answer."""

    body: bytes
    pointer: str = ""
    words: str = ""
    status: int = 422
    code: str = "invalid_request"


def changed(part: str, **values: Any) -> bytes:
    """The good request with some fields of one part replaced; a field that is `...` is left out."""
    fields = {**GOOD.get(part, {}), **values}
    return json.dumps({**GOOD, part: {name: value for name, value in fields.items() if value is not ...}}).encode()


def source(words: str, pointer: str, **values: Any) -> Refused:
    return Refused(changed("source", **values), f"/source/{pointer}", words)


def inventory(words: str, pointer: str, **values: Any) -> Refused:
    return Refused(changed("inventory", **values), f"/inventory{pointer}", words)


def options(words: str, pointer: str, **values: Any) -> Refused:
    return Refused(changed("options", **values), f"/options/{pointer}", words)


def whole(body: str | bytes, words: str, status: int, code: str) -> Refused:
    return Refused(body if isinstance(body, bytes) else body.encode(), "", words, status, code)


NO_HYPHEN = "must match"
REFUSED: Mapping[str, Refused] = {
    "unknown field": Refused(
        json.dumps({**GOOD, "pasword": CANARY}).encode(), "/pasword", "unknown field: correct its name or leave it out"
    ),
    "unknown field below": source("unknown field", "token", token=CANARY),
    "unknown type of source": source("use one of", "type", type=CANARY),
    "missing field": source("required, but absent", "path", path=...),
    "wrong type": options("valid integer", "timeout", timeout=CANARY),
    "wrong type of a flag": options("valid boolean", "check_mode", check_mode=CANARY),
    "wrong type of a part": Refused(json.dumps({**GOOD, "inventory": CANARY}).encode(), "/inventory", "object"),
    "wrong type of variables": Refused(json.dumps({**GOOD, "extra_vars": [CANARY]}).encode(), "/extra_vars", "object"),
    "unknown credential": Refused(
        changed("credentials", ssh="nobody-made-it"), "/credentials/ssh", "create it with POST /api/v1/credentials"
    ),
    "unknown git credential": source(
        "create it with POST /api/v1/credentials", "git_credential", git_credential="nobody-made-it"
    ),
    "credential of another kind": Refused(
        changed("credentials", ssh="canary-password"), "/credentials/ssh", "needed here: ssh_key"
    ),
    "path that leaves the repository": source("relative to the repository's root", "path", path="../../etc/passwd"),
    "path that leaves it halfway": source("without '..'", "path", path="plays/../../site.yml"),
    "absolute path": source("relative to the repository's root", "path", path="/etc/passwd"),
    "one of several paths": source("without '..'", "path/1", path=["site.yml", "../site.yml"]),
    "path that begins with a hyphen": source("leading '-'", "path", path="-i.yml"),
    "branch that begins with a hyphen": source(NO_HYPHEN, "branch", branch="--upload-pack=id"),
    "repo that begins with a hyphen": source("give a git URL", "repo", repo="--upload-pack=id"),
    "git host that begins with a hyphen": source("cannot begin with '-'", "repo", repo="ssh://-oProxyCommand=id/x"),
    "limit that begins with a hyphen": options(NO_HYPHEN, "limit", limit="--list-hosts"),
    "tag that begins with a hyphen": options(NO_HYPHEN, "tags/0", tags=["-vvvv"]),
    "skipped tag that begins with a hyphen": options(NO_HYPHEN, "skip_tags/0", skip_tags=["--flush-cache"]),
    "host that begins with a hyphen": inventory(NO_HYPHEN, "/hosts/0", hosts=["-oProxyCommand=id"]),
    "URL scheme not allowed": source("is not allowed here: use", "repo", repo="git://git.example.com/a.git"),
    "http is not https": source("is not allowed here: use", "repo", repo="http://git.example.com/a.git"),
    "repository at the metadata service": source("not allowed", "repo", repo="https://169.254.169.254/a.git"),
    "repository at the metadata service by ssh": source("not allowed", "repo", repo="git@169.254.169.254:a.git"),
    "ext": source("give a git URL", "repo", repo="ext::sh -c id"),
    "ext without blanks": source("give a git URL", "repo", repo="ext::sh"),
    "token in the URL": source("name them in git_credential", "repo", repo=f"https://u:{CANARY}@git.example.com/a"),
    "no inventory": Refused(json.dumps({"source": GOOD["source"]}).encode(), "/inventory", "required, but absent"),
    "empty inventory": inventory("name at least one host", "", hosts=[]),
    "inventory of empty groups": inventory("name at least one host", "", hosts=..., groups={"web": []}),
    "extra vars over 1 MiB": Refused(changed("extra_vars", filler="x" * 1024 * 1024), "/extra_vars", "at most 1048576"),
    "body over the limit": whole(
        changed("extra_vars", filler="x" * 2 * 1024 * 1024), "larger than 2097152 bytes", 413, "body_too_large"
    ),
    "callback that is no web address": options("http", "callback_url", callback_url=f"ftp://{CANARY}/"),
    "callback to the metadata service": options(
        "not allowed", "callback_url", callback_url="http://169.254.169.254/latest"
    ),
    "broken JSON": whole('{"source": "' + CANARY, "not a JSON document", 400, "malformed_body"),
    "no body": whole("", "not a JSON document", 400, "malformed_body"),
    "not a number in JSON": whole('{"source": NaN}', "not a JSON document", 400, "malformed_body"),
    "bad UTF-8": whole(b'{"source": "\xff\xfe' + CANARY.encode() + b'"}', "UTF-8", 400, "malformed_body"),
    "nested too deeply": whole('{"extra_vars": ' + '{"a":' * 40 + "1" + "}" * 41, "levels", 422, "invalid_request"),
    "a list": whole(json.dumps([CANARY]), "", 422, "invalid_request"),
}
