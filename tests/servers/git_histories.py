"""Large repositories, generated in a moment by `git fast-import`: many roles, and a long history."""

import random
from collections.abc import Iterator
from pathlib import Path

from tests.servers.git_servers import GitRepository, git_repository

ROLES, ROLE_FILES = 40, ("tasks", "handlers", "defaults", "vars", "meta")
FILES, COMMITS = 1200, 5000
TASK = """- name: Configure {name}
  ansible.builtin.template:
    src: {name}.j2
    dest: /etc/{name}/{number}.conf
    mode: "0644"
  notify: Restart {name}
"""


def repository_of_roles(path: Path) -> GitRepository:
    """40 roles of five files each, and a playbook; a few hundred commits."""
    names = [f"roles/role{role}/{part}/main.yml" for role in range(ROLES) for part in ROLE_FILES]
    return _generated(path, names, commits=300)


def repository_with_history(path: Path) -> GitRepository:
    """1,200 files and 5,000 commits."""
    names = [f"roles/role{number % 100}/tasks/part{number}.yml" for number in range(FILES)]
    return _generated(path, names, commits=COMMITS)


def _generated(path: Path, names: list[str], commits: int) -> GitRepository:
    repository = git_repository(path)
    stream = "".join(_commits(names, commits)).encode()
    repository.git("fast-import", "--quiet", "--done", stdin=stream)
    repository.git("reset", "--quiet", "--hard", "main")
    return repository


def _commits(names: list[str], commits: int) -> Iterator[str]:
    chance = random.Random(1)
    yield _commit(1, {"site.yml": "- hosts: all\n", **{name: _tasks(chance, 0) for name in names}})
    for number in range(2, commits + 1):
        yield _commit(number, {chance.choice(names): _tasks(chance, number)})
    yield "done\n"


def _commit(number: int, files: dict[str, str]) -> str:
    changes = "".join(f"M 644 inline {name}\n{_data(text)}" for name, text in files.items())
    who = f"committer tests <tests@example.org> {1_700_000_000 + number} +0000"
    return f"commit refs/heads/main\n{who}\n{_data(f'change {number}')}{changes}\n"


def _tasks(chance: random.Random, number: int) -> str:
    return "".join(TASK.format(name=f"service{chance.randrange(10**6)}", number=number) for _ in range(8))


def _data(text: str) -> str:
    return f"data {len(text.encode())}\n{text}\n"
