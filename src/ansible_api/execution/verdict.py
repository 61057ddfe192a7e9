"""What became of a play, from its events, its exit code and the reason it was stopped."""

import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_api.events.types import Event
from ansible_api.jobs.state import Status

MESSAGE_LIMIT = 1000
NAMES_LIMIT = 5
TAIL = 200  # lines kept to find Ansible's own words in
PARSER_ERROR = 4  # ansible-core's exit code
_SPEECH = ("verbose", "error", "warning", "system_warning", "deprecated")
_ERROR = re.compile(r"(\[ERROR\]:|ERROR!|ansible-playbook: error:) *")
_COLOR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_WORKSPACE = re.compile(r"/[^\s'\"]*/job-\w+\.\d+/(?:project/)?")  # of this attempt, on this machine
_CONFIG = re.compile(r"\.ansible-api-[0-9a-f]{16}\.cfg")  # as ansible_cfg.py writes it
_TRACEBACK = re.compile(r"\s|Traceback \(most recent call last\)")  # how its lines begin
# Ansible's own words, as of core 2.19, what they mean, and what helps.
_KNOWN = (
    ("leaves us with no hosts to target", "limit_matches_nothing", "correct options.limit"),
    ("no vault secrets found", "vault_password_missing", "name a credential in credentials.vault_password"),
    ("no vault secrets were found that could decrypt", "vault_password_wrong", "check credentials.vault_password"),
    ("Decryption failed", "vault_password_wrong", "check credentials.vault_password"),
    ("No space left on device", "worker_disk_full", "the worker has no room for the play"),
    ("Disk quota exceeded", "worker_disk_full", "the worker has no room for the play"),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended; `message` is short, for people, and holds no secret."""

    status: Status
    return_code: int | None = None
    error_code: str | None = None
    message: str | None = None


@dataclass(slots=True)
class Tally:
    """What the events of a play have told so far."""

    began: bool = False
    failed: dict[str, None] = field(default_factory=dict)
    unreachable: dict[str, None] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)  # of set_stats
    speech: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL))

    def take(self, event: Event) -> None:
        """Remember what the outcome will need."""
        if event.type == "playbook_on_play_start":
            self.began = True
        elif event.type == "runner_on_unreachable" and event.host:
            self.unreachable[event.host] = None
        elif event.type == "playbook_on_stats" and not event.result.get("truncated"):
            # The last word: a failure may have been ignored or rescued.
            self.failed = dict.fromkeys(event.result.get("failures") or ())
            self.unreachable = dict.fromkeys(event.result.get("dark") or ())
            data = event.result.get("artifact_data")
            self.data = data if isinstance(data, dict) else {}
        elif event.type == "runner_on_failed" and event.host and not event.result.get("ignore_errors"):
            self.failed[event.host] = None
        elif event.type in _SPEECH:
            self.hear(event.stdout[:4096])

    def hear(self, text: str) -> None:
        """Remember Ansible's own words."""
        self.speech.extend(_COLOR.sub("", text).splitlines())

    @property
    def error_text(self) -> str:
        """Ansible's last error in its own words, without a traceback."""
        lines = list(self.speech)
        starts = [index for index, line in enumerate(lines) if _ERROR.match(line)]
        if not starts:
            own = [line for line in lines if not _TRACEBACK.match(line)]
            return _shown(own[-5:] if len(own) == len(lines) else own[-1:])
        lines[starts[-1]] = _ERROR.sub("", lines[starts[-1]], count=1)
        return _shown(lines[starts[-1] :])


def _shown(lines: Sequence[str]) -> str:
    """The lines as a message, up to a traceback, with paths as the project has them."""
    text = "\n".join(lines).partition("Traceback (most recent call last)")[0]
    return _CONFIG.sub("ansible.cfg", _WORKSPACE.sub("", text)).strip()[:MESSAGE_LIMIT]


def judge(return_code: int | None, tally: Tally) -> Outcome:
    """The outcome of a play that ended by itself."""
    if return_code == 0:
        return Outcome(Status.SUCCESSFUL, 0)
    if tally.began:
        code = "hosts_unreachable" if tally.unreachable and not tally.failed else "play_failed"
        return Outcome(Status.FAILED, return_code, code, _failure(return_code, tally))
    code, message = _refusal(return_code, tally.error_text)
    return Outcome(Status.ERROR, return_code, code, message)


def refusal(return_code: int | None, output: str) -> tuple[str, str]:
    """The code and the message of a command of Ansible's that refused to do anything, from all that it printed."""
    tally = Tally()
    tally.hear(output)
    return _refusal(return_code, tally.error_text)


def _refusal(return_code: int | None, said: str) -> tuple[str, str]:
    text = said or f"ansible-playbook ended with exit code {return_code}"
    code, advice = _known(return_code, text)
    return code, f"{advice}: {text}"[:MESSAGE_LIMIT] if advice else text


def _known(return_code: int | None, text: str) -> tuple[str, str]:
    """The code and what to do about it."""
    if text.startswith("bwrap: "):
        return "sandbox_failed", ""
    flat = " ".join(text.split())
    for words, code, advice in _KNOWN:
        if words in flat:
            return code, advice
    if return_code == PARSER_ERROR:
        return "playbook_syntax_error", "correct the playbook"
    return "ansible_refused", ""


def _failure(return_code: int | None, tally: Tally) -> str:
    parts = [
        f"{word}: {_names(hosts)}"
        for word, hosts in (("failed", tally.failed), ("unreachable", tally.unreachable))
        if hosts
    ]
    if parts:
        return "; ".join(parts)[:MESSAGE_LIMIT]
    if return_code is not None and return_code > 128:
        return f"ansible-playbook was ended by signal {return_code - 128}"
    return tally.error_text or f"ansible-playbook ended with exit code {return_code}"


def _names(hosts: dict[str, None]) -> str:
    shown = ", ".join(sorted(hosts)[:NAMES_LIMIT])
    return shown if len(hosts) <= NAMES_LIMIT else f"{shown} and {len(hosts) - NAMES_LIMIT} more"
