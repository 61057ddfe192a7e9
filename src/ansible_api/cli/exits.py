"""How the commands end: exit codes that scripts may rely on, and the error that carries one."""

from enum import IntEnum
from typing import Self

from ansible_api.jobs.state import Status


class Exit(IntEnum):
    """Exit codes of the client commands."""

    meaning: str

    def __new__(cls, value: int, meaning: str) -> Self:
        """A code with what it says."""
        code = int.__new__(cls, value)
        code._value_ = value
        code.meaning = meaning
        return code

    SUCCESSFUL = 0, "done; with --watch or --wait: the job was successful"
    REFUSED = 1, "wrong usage, or the API refused the request"
    FAILED = 2, "the job failed: Ansible said no"
    ERROR = 3, "the job could not be run, or its worker was lost"
    CANCELED = 4, "the job was canceled"
    TIMED_OUT = 5, "the job ran into its time limit"
    UNREACHABLE = 6, "the API could not be reached"
    UNFINISHED = 7, "--wait ran out before the job ended"
    INTERRUPTED = 130, "Ctrl-C; a watched job goes on"


BY_STATUS = {
    Status.SUCCESSFUL: Exit.SUCCESSFUL,
    Status.FAILED: Exit.FAILED,
    Status.ERROR: Exit.ERROR,
    Status.LOST: Exit.ERROR,
    Status.CANCELED: Exit.CANCELED,
    Status.TIMED_OUT: Exit.TIMED_OUT,
}


def exit_of(status: str) -> Exit:
    """The exit code for a job's status; one that this client does not know counts as an error."""
    try:
        return BY_STATUS.get(Status(status), Exit.UNFINISHED)
    except ValueError:
        return Exit.ERROR


def exits_in_help() -> str:
    """Every code and its meaning, a paragraph each, for --help."""
    return "\n\n".join(["Exit codes:", *(f"{code.value} {code.meaning}" for code in Exit)])


class CommandError(Exception):
    """A command cannot go on; the message names the remedy."""

    def __init__(self, message: str, exit_code: Exit = Exit.REFUSED) -> None:
        super().__init__(message)
        self.exit_code = exit_code
