import pytest

from ansible_api.errors import TransientJobError
from ansible_api.execution.galaxy_errors import MESSAGE_LIMIT, explain

UNSATISFIED = (
    "[ERROR]: Failed to resolve the requested dependencies map. Could not satisfy the following requirements:\n"
)
HINT = "Hint: Pre-releases hosted on Galaxy or Automation Hub are not installed by default"


@pytest.mark.parametrize(
    ("text", "code", "transient"),
    [
        (f"{UNSATISFIED}* a.b:* (direct request)\n{HINT}", "collection_not_found", False),
        (f"{UNSATISFIED}* a.b:>=9 (direct request)\n{HINT}", "version_not_found", False),
        (
            f"{UNSATISFIED}* a.b:>=2 (direct request)\n* a.b:<2 (dependency of c.d:1.0.0)\n",
            "dependency_conflict",
            False,
        ),
        ("[ERROR]: Mismatch artifact hash with downloaded file", "checksum_mismatch", False),
        ("[ERROR]: Checksum mismatch for 'x' inside collection at '/tmp/x'", "checksum_mismatch", False),
        ("[ERROR]: Error x (HTTP Code: 401, Message: no Code: Unknown)", "galaxy_refused", False),
        (
            "[ERROR]: Failed to download collection tar from 'requested': HTTP Error 403: Forbidden",
            "galaxy_refused",
            False,
        ),
        ("[ERROR]: Error x (HTTP Code: 500, Message: Internal Server Error)", "galaxy_unreachable", True),
        ("[ERROR]: Error x (HTTP Code: 504, Message: cannot connect)", "galaxy_unreachable", True),
        (
            "[ERROR]: Error x (HTTP Code: 403, Message: Denied by the egress policy: 10.0.0.1 is private)",
            "galaxy_denied",
            False,
        ),
        (
            "[ERROR]: Error x: Tunnel connection failed: 403 Denied by the\negress policy: 10.0.0.1",
            "galaxy_denied",
            False,
        ),
        ("fatal: unable to access 'https://x/': CONNECT tunnel failed, response 403", "galaxy_denied", False),
        ("fatal: unable to access 'https://x/': CONNECT tunnel failed, response 504", "galaxy_unreachable", True),
        (
            "fatal: Authentication failed for 'https://x/'\n[ERROR]: Failed to clone a Git repository",
            "galaxy_refused",
            False,
        ),
        ("error: pathspec 'v9' did not match any file(s) known to git", "version_not_found", False),
        (
            "[WARNING]: - a.b was NOT installed successfully: - sorry, a.b was not found on https://x.",
            "role_not_found",
            False,
        ),
        ("[ERROR]: Failed to parse Galaxy response from 'https://x' as JSON:\n<html>", "galaxy_invalid", False),
        ("[ERROR]: Unexpected Exception: ''\nMemoryError", "dependencies_too_large", False),
        ("[ERROR]: [Errno 27] File too large", "dependencies_too_large", False),
        ("[ERROR]: something else", "dependencies_failed", False),
        ("", "dependencies_failed", False),
    ],
)
def test_each_refusal_has_its_code(text: str, code: str, transient: bool) -> None:
    error = explain(text)
    assert (error.job_code, isinstance(error, TransientJobError)) == (code, transient)


def test_a_range_that_nothing_satisfies_is_named() -> None:
    detail = explain(f"{UNSATISFIED}* a.b:>=9 (direct request)\n{HINT}").detail
    assert detail == "no version of a.b satisfies >=9: ask for one that there is"


def test_the_detail_has_advice_and_ansibles_words_and_nothing_of_the_machine() -> None:
    text = (
        "Cloning into '/srv/state/galaxy/x'...\n"
        "[ERROR]: Failed to clone a Git repository from `https://me:secret@git.example/r.git`: Command '['git', "
        "'/srv/state/galaxy/x']' returned\nTraceback (most recent call last):\n  File x"
    )
    detail = explain(text).detail
    assert detail.startswith("correct the address of the repository: Failed to clone a Git repository from ")
    assert "git.example/r.git" in detail
    for hidden in ("secret", "/srv", "Traceback", "Command"):
        assert hidden not in detail


def test_the_detail_is_cut_and_has_no_colours() -> None:
    detail = explain("\x1b[0;31m[ERROR]: " + "x" * 5000 + "\x1b[0m").detail
    assert len(detail) < MESSAGE_LIMIT + 100
    assert "\x1b" not in detail
