"""What ansible-galaxy's words mean: the code of the job's error, whether to try again, and what helps."""

import re
from typing import NamedTuple

from ansible_api.egress import DENIED
from ansible_api.errors import JobError, TransientJobError

MESSAGE_LIMIT = 600
_COLOR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_ERROR = re.compile(r"^(\[ERROR\]:|ERROR!|ERROR:|\[WARNING\]: -|fatal:|error:) *")
_LOGIN = re.compile(r"//[^/@\s]*@")
_PATH = re.compile(r"(?<![\w:/.])/(?:[\w.+-]+/)+[\w.+-]*")  # of the worker's machine


class _Meaning(NamedTuple):
    """Any of the patterns in what was said, in one line without colours, means this."""

    patterns: tuple[str, ...]
    code: str
    advice: str
    transient: bool = False

    def is_said(self, text: str) -> bool:
        return any(re.search(pattern, text) for pattern in self.patterns)


# Words of ansible-core 2.19 (cli/galaxy.py, galaxy/api.py, galaxy/collection/, galaxy/role.py), git and ssh. The first
# that fits counts: what went wrong below comes before what Ansible made of it.
_KNOWN = (
    _Meaning(
        ("MemoryError", "Cannot allocate memory", "[Oo]ut of memory", "No space left on device", "File too large"),
        "dependencies_too_large",
        "ask for fewer or smaller ones",
    ),
    _Meaning(
        (re.escape(DENIED), "CONNECT tunnel failed, response 403"),
        "galaxy_denied",
        "name a server that this service may reach",
    ),
    _Meaning(
        ("Mismatch artifact hash", "Checksum mismatch for"),
        "checksum_mismatch",
        "the download is not what the server says: publish it anew or ask for another version",
    ),
    _Meaning(
        (
            r"HTTP Code: 40[13]\b",
            r"HTTP Error 40[13]\b",
            "Authentication failed for",
            "could not read Username",
            r"Permission denied \(publickey",
            "Host key verification failed",
            "Load key",
        ),
        "galaxy_refused",
        "check galaxy_credential, git_credential and their rights",
    ),
    _Meaning(
        (
            r"HTTP Code: (5\d\d|429)\b",
            r"HTTP Error (5\d\d|429)\b",
            "Tunnel connection failed: 50",
            "timed out",
            "Connection refused",
            "Connection reset",
            "Connection closed by",
            "Remote end closed",
            "Remote host closed",
            "Could not resolve",
            "urlopen error",
            "early EOF",
            "RPC failed",
            r"CONNECT tunnel failed, response 50\d",
            r"returned error: 5\d\d",
            "Unknown error when attempting to call Galaxy",
            "IncompleteRead",
        ),
        "galaxy_unreachable",
        "the server did not answer as it should",
        transient=True,
    ),
    _Meaning(
        ("No such revision", "did not match any file", "Failed to switch a cloned Git repo", "unknown revision"),
        "version_not_found",
        "ask for a branch, tag or commit that the repository has",
    ),
    _Meaning(
        ("the specified version .* was not found in the list of available versions",),
        "version_not_found",
        "ask for a version that there is",
    ),
    _Meaning(
        ("sorry, .* was not found on", "was NOT installed successfully", "failed to download the file"),
        "role_not_found",
        "correct the name of the role or its address",
    ),
    _Meaning(
        (r"HTTP Code: 404\b", "Failed to find collection", "does not contain the required file MANIFEST"),
        "collection_not_found",
        "correct the name of the collection or galaxy_server",
    ),
    _Meaning(
        ("Failed to clone a Git repository",),
        "collection_not_found",
        "correct the address of the repository",
    ),
)
_NO_GALAXY = ("Failed to parse Galaxy response", "available_versions", "Unexpected Exception, this is probably a bug")
_HINT = "you can use --ignore-errors"
_UNSATISFIED = "Could not satisfy the following requirements:"
_CAUSE = re.compile(r"\* (\S+?):(\S+) \((.*?)\)")


def explain(text: str) -> JobError:
    """The error that a failed command's words tell."""
    flat = " ".join(_COLOR.sub("", text).split())
    shown = _shown(text)
    for meaning in _KNOWN:
        if meaning.is_said(flat):
            kind = TransientJobError if meaning.transient else JobError
            return kind(meaning.code, f"{meaning.advice}: {shown}")
    if _UNSATISFIED in flat or "which didn't satisfy all" in flat:
        return _unsatisfied(flat, shown)
    if any(words in flat for words in _NO_GALAXY):
        return JobError("galaxy_invalid", f"what answers there is no Galaxy server, correct galaxy_server: {shown}")
    return JobError("dependencies_failed", f"ansible-galaxy could not install what is asked for: {shown}")


def timed_out(seconds: float) -> TransientJobError:
    """Installing took longer than it may."""
    return TransientJobError("galaxy_unreachable", f"the collections and roles were not there within {seconds:g} s")


def _unsatisfied(flat: str, shown: str) -> JobError:
    """One requirement that nothing satisfies, or several that exclude each other."""
    causes = _CAUSE.findall(flat.partition(_UNSATISFIED)[2])
    if len({(name, version) for name, version, _ in causes}) > 1 or not causes:
        return JobError("dependency_conflict", f"no version satisfies all that ask for it: {shown}")
    name, version, _ = causes[0]
    if version == "*":
        return JobError("collection_not_found", f"the server has no version of {name}: correct its name")
    return JobError("version_not_found", f"no version of {name} satisfies {version}: ask for one that there is")


def _shown(text: str) -> str:
    """The command's first error in its own words, without logins, paths of this machine, tracebacks and hints."""
    lines = [line for line in _COLOR.sub("", text).splitlines() if line.strip() and _HINT not in line]
    starts = [number for number, line in enumerate(lines) if _ERROR.match(line)]
    said = lines[starts[0] :] if starts else lines[-3:]
    flat = " ".join(" ".join(_ERROR.sub("", line) for line in said).split())
    for rest in ("Traceback (most recent", "Hint: ", "<<< caused by >>>", "Command '["):
        flat = flat.partition(rest)[0]
    return _PATH.sub("…", _LOGIN.sub("//", flat)).strip()[:MESSAGE_LIMIT]
