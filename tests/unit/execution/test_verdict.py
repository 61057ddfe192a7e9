from typing import Any

import pytest

from ansible_api.events.types import Event
from ansible_api.execution.verdict import MESSAGE_LIMIT, Outcome, Tally, judge
from ansible_api.jobs.state import Status

BEGAN = ("playbook_on_play_start", {})


def outcome(return_code: int | None, *events: tuple[str, dict[str, Any]]) -> Outcome:
    tally = Tally()
    for seq, (kind, parts) in enumerate(events, 1):
        tally.take(Event(seq, "2026-01-01T00:00:00Z", kind, **parts))
    return judge(return_code, tally)


def said(*lines: str) -> tuple[tuple[str, dict[str, Any]], ...]:
    return tuple(("verbose", {"stdout": line}) for line in lines)


def test_exit_code_zero_is_successful_whatever_was_said() -> None:
    assert outcome(0, *said("[ERROR]: but it went on")) == Outcome(Status.SUCCESSFUL, 0)


def test_after_the_play_began_a_bad_end_is_failed() -> None:
    result = outcome(1, BEGAN, *said("[ERROR]: something in the middle"))
    assert result == Outcome(Status.FAILED, 1, "play_failed", "something in the middle")


def test_failed_and_unreachable_hosts_are_named_shortly() -> None:
    failures = [("runner_on_failed", {"host": f"h{number}"}) for number in range(7)]
    result = outcome(2, BEGAN, *failures, ("runner_on_unreachable", {"host": "gone"}))
    assert result.message == "failed: h0, h1, h2, h3, h4 and 2 more; unreachable: gone"


def test_a_play_whose_hosts_were_all_away_is_told_from_one_that_failed() -> None:
    away = ("runner_on_unreachable", {"host": "gone"})
    assert outcome(4, BEGAN, away).error_code == "hosts_unreachable"
    assert outcome(2, BEGAN, away, ("runner_on_failed", {"host": "a"})).error_code == "play_failed"


def test_advice_precedes_ansibles_words() -> None:
    text = "Specified --limit leaves us with no hosts to target."
    assert outcome(1, *said(f"[ERROR]: {text}")).message == f"correct options.limit: {text}"


def test_ignored_failures_are_not_counted() -> None:
    ignored = ("runner_on_failed", {"host": "a", "result": {"ignore_errors": True}})
    assert outcome(2, BEGAN, ignored, ("runner_on_failed", {"host": "b"})).message == "failed: b"


def test_the_stats_have_the_last_word_on_rescued_hosts() -> None:
    stats = ("playbook_on_stats", {"result": {"failures": {"b": 1}, "dark": {}}})
    assert outcome(2, BEGAN, ("runner_on_failed", {"host": "a"}), stats).message == "failed: b"


def test_an_end_by_signal_says_so() -> None:
    assert outcome(137, BEGAN).message == "ansible-playbook was ended by signal 9"


@pytest.mark.parametrize(
    ("code", "text", "expected"),
    [
        (4, "[ERROR]: YAML parsing failed: x", "playbook_syntax_error"),
        (1, "[ERROR]: Specified --limit leaves us with no hosts to target.", "limit_matches_nothing"),
        (1, "[ERROR]: Invalid vars_files file: Decryption failed (no vault secrets)", "vault_password_wrong"),
        (
            1,
            "OSError: [Errno 28] No space left on device: 'control/play/job_events/1-partial.json.tmp'",
            "worker_disk_full",
        ),
        (1, "[ERROR]: Attempting to decrypt but no vault secrets found.", "vault_password_missing"),
        (1, "bwrap: No permissions to create new namespace", "sandbox_failed"),
        (2, "ansible-playbook: error: unrecognized arguments: --x", "ansible_refused"),
        (127, "cannot start /x/ansible-playbook: No such file or directory", "ansible_refused"),
    ],
)
def test_a_refusal_before_the_play_is_an_error_with_its_code(code: int, text: str, expected: str) -> None:
    result = outcome(code, *said(text))
    assert (result.status, result.return_code, result.error_code) == (Status.ERROR, code, expected)


def test_words_that_a_narrow_terminal_broke_are_still_recognised() -> None:
    lines = ("[ERROR]: Specified inventory, host pattern and/or --limit leaves us with no", "hosts to target.")
    assert outcome(1, *said(*lines)).error_code == "limit_matches_nothing"


def test_the_message_is_ansibles_text_without_colours_warnings_and_traceback() -> None:
    lines = (
        "[WARNING]: a warning",
        "\x1b[0;31m[ERROR]: the reason\x1b[0m",
        "Origin: x.yml:1",
        "Traceback (most recent call last):",
        "  File x",
    )
    assert outcome(1, *said(*lines)).message == "the reason\nOrigin: x.yml:1"


def test_the_message_is_cut() -> None:
    assert len(outcome(1, *said("[ERROR]: " + "x" * 5000)).message or "") == MESSAGE_LIMIT


def test_silence_gets_a_message_too() -> None:
    assert outcome(None).message == "ansible-playbook ended with exit code None"


def test_the_message_has_no_traceback_and_no_path_of_this_machine() -> None:
    project = "/var/lib/worker/state/work/job-00t44ghcwmnm49wnqxw07rb.1/project"
    ended = outcome(
        1,
        *said(
            "ValueError: Invalid value",
            "Traceback (most recent call last):",
            '  File "/opt/worker/ansible/cli/__init__.py", line 91, in <module>',
            "    from ansible import constants as C",
            f"AnsibleOptionsError: Config 'FORKS' from '{project}/.ansible-api-eafad5a2aed2db0d.cfg' is invalid",
        ),
    )
    assert ended.message == "AnsibleOptionsError: Config 'FORKS' from 'ansible.cfg' is invalid"
    ended = outcome(1, *said(f"[ERROR]: The vault password file {project}/keys/vp was not found"))
    assert ended.message == "The vault password file keys/vp was not found"
