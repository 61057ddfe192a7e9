"""Worker children are forked while their parent uses the database."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.timeout(60)
def test_a_child_that_was_forked_in_the_middle_of_a_transaction_can_write(empty_url: str) -> None:
    script = Path(__file__).with_name("forking.py")
    done = subprocess.run(
        [sys.executable, str(script), empty_url], capture_output=True, text=True, timeout=20, check=False
    )
    assert (done.returncode, done.stdout) == (0, "written"), done.stderr


LOGGING = """
import os, select, signal, sys, threading
from ansible_api.logs import configure_logs, get_logger
from ansible_api.tasks import worker
reader, writer = os.pipe()
sys.stderr = os.fdopen(writer, "w")
configure_logs()
log = get_logger("test")
inside = threading.Event()
def long_line():
    inside.set()
    log.warning("x" * 200_000)
def read_all():
    while os.read(reader, 65536): pass
threading.Thread(target=long_line, daemon=True).start()
inside.wait()
threading.Timer(0.5, lambda: threading.Thread(target=read_all, daemon=True).start()).start()
select.select([reader], [], [])
if not (child := os.fork()):
    signal.alarm(5)
    log.warning("here I am")
    os._exit(0)
sys.stdout.write(str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])))
"""


@pytest.mark.timeout(60)
def test_a_child_that_was_forked_while_its_parent_logged_can_log() -> None:
    done = subprocess.run([sys.executable, "-c", LOGGING], capture_output=True, text=True, timeout=20, check=False)
    assert done.stdout == "0", done.stderr
