"""A process that supervises shell scripts: its one argument is JSON, its output what the supervisor says."""

import json
import os
import sys
from pathlib import Path

from ansible_api.cli.exits import CommandError
from ansible_api.cli.supervisor import Backoff, Part, StopRequested, Supervisor


def main() -> int:
    """Supervise until a signal (0) or until it gives up (1)."""
    asked = json.loads(sys.argv[1])
    directory = Path(asked["directory"])

    def say(text: str) -> None:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    try:
        with Supervisor(os.environ, say, asked["grace"], Backoff(**asked["backoff"])) as supervisor:
            for name, script in asked["parts"].items():
                supervisor.start(Part(name, ["sh", "-c", script], directory / f"{name}.log"))
            for name, script in asked["helpers"].items():
                say(supervisor.run(name, ["sh", "-c", script], directory / f"{name}.log"))
            supervisor.watch()
    except StopRequested:
        say("stopped")
        return 0
    except CommandError as error:
        say(str(error))
        return 1


if __name__ == "__main__":
    sys.exit(main())
