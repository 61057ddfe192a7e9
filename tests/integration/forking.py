"""Forks while another thread is in the middle of a transaction; the child says when it has written."""

import os
import sys
import threading

from sqlalchemy import text
from sqlalchemy.orm import Session

from ansible_api.db import Database
from ansible_api.tasks.watched import WatchedDatabase


def main(url: str) -> None:
    database = Database(url)
    inside, over = threading.Event(), threading.Event()

    def linger(session: Session) -> None:
        session.execute(text("DELETE FROM jobs"))
        inside.set()
        over.wait(0.5)

    writer = threading.Thread(target=WatchedDatabase(database, lease=60).write, args=(linger,))
    writer.start()
    inside.wait()
    child = os.fork()
    if not child:
        Database(url).write(lambda session: session.execute(text("DELETE FROM job_hosts")) and None)
        os.write(1, b"written")
        os._exit(0)
    writer.join()
    os.waitpid(child, 0)


main(sys.argv[1])
