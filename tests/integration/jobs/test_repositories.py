"""What fetching a repository has taken, noted by several workers at once."""

from ansible_api.db import Database
from ansible_api.jobs import repositories
from tests.integration.rows import at_once


def test_workers_whose_first_slow_fetches_end_together_note_it_once(db: Database) -> None:
    for number in range(20):
        repo = f"https://git.example.com/{number}.git"
        at_once(8, lambda worker: db.write(repositories.measured, repo, 60.0 + worker, slow_after=30.0))  # noqa: B023
        assert 60.0 <= db.read(repositories.slowest, [repo]) < 68.0


def test_of_a_repository_that_never_was_slow_nothing_is_kept(db: Database) -> None:
    db.write(repositories.measured, "https://git.example.com/a.git", 3.0, slow_after=30.0)
    assert db.read(repositories.slowest, ["https://git.example.com/a.git"]) == 0.0
